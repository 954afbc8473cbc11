"""train: a real run and its files, a run that diverges, and wrong input as one line and exit code 2."""

import re

import pytest

from tests.helpers.command_calls import CPU, TRAIN, bad_option, one_line, process
from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, network_of, with_classes, write_set
from yolo.model.weights import save_weights


def test_the_whole_path_as_a_user_goes_it(project, case, call):
    """Train, evaluate, save results, score those, detect: the numbers agree with each other."""
    script = project / "tools/train.py"
    out, err, code = process(script, *TRAIN, "--workers", 1, "--max-batches", 3, cwd=case)
    assert code == 0, err
    assert "Traceback" not in err and "training on cpu: steps 1 to 3, batch 4 in 1 part" in err
    assert re.search(r"^3/3  loss \d+\.\d+ \(avg .*\)  IoU .* images/s  0:00:00 left$", err, re.M)
    assert "| mean (mAP) |" in err and "four/list.txt: 4 images, 6 objects" in err
    assert "step 3: run/tiny_last.weights, run/tiny_last.pt\n" in out
    assert re.search(r"best mAP voc07 \d\.\d{4}: run/tiny_best.weights, run/tiny_best.pt\n$", out)
    found = sorted(path.name for path in (case / "run").glob("tiny_*"))
    assert found == ["tiny_best.pt", "tiny_best.weights", "tiny_last.pt", "tiny_last.weights"]
    code, out, _ = call("train", *TRAIN, "--resume", "run/tiny_last.pt", "--max-batches", 5)
    assert code == 0 and "step 5: " in out


def test_train_stops_in_one_line(call, case, four):
    bad_option(call("train", *TRAIN, "--set", "nonsense"), "found 'nonsense', expected KEY=VALUE")
    one_line(call("train", *TRAIN, "--set", "nonsense=1"), r"found nonsense=1 for \[net\], expected")
    one_line(call("train", *TRAIN, "--set", "batch=many"), "batch: found 'many', expected a whole")
    one_line(call("train", *TRAIN, "--weights", "away.weights"), "away.weights: No such file")
    one_line(call("train", *TRAIN, "--weights", case), f"{case}: Is a directory")
    one_line(call("train", *TRAIN, "--resume", "tiny.weights"), "tiny.weights: found")
    one_line(
        call("train", *TRAIN, "--resume", "x.pt", "--weights", "tiny.weights"),
        "found --resume with",
    )
    one_line(call("train", *TRAIN, "--clear"), "found --clear or --cutoff without --weights")
    one_line(call("train", *TRAIN, "--cutoff", 3), "found --clear or --cutoff without --weights")
    one_line(call("train", *TRAIN, "--cfg", "four"), "four: Is a directory")
    one_line(call("train", *TRAIN, "--data", "four/labels"), "four/labels: found none, expected one .data file")
    for option in ("--cfg", "--data"):
        one_line(call("train", *TRAIN, option, "away.txt"), "away.txt: No such file")
    one_line(call("train", *TRAIN, "--out", "tiny.cfg"), "tiny.cfg: File exists")
    one_line(call("train", *TRAIN, "--out", "tiny.cfg/run"), "Not a directory|tiny.cfg")
    one_line(call("train", *TRAIN, "--out", "/proc/none"), "/proc/none: ")
    assert not (case / "run").exists()
    (four.folder / "list.txt").write_text("")
    one_line(call("train", *TRAIN), "list.txt: found no image")


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("--device", "nonsense", "expected a device that this machine has"),
        ("--device", "cuda:99", "expected a device that this machine has"),
        ("--device", "meta", "expected a device that this machine has"),
        ("--workers", "-1", "found '-1', expected a whole number from 0 on"),
        ("--max-batches", "0", "found '0', expected a whole number from 1 on"),
        ("--seed", "-1", "found '-1', expected a whole number from 0 on"),
        ("--map-every", "0", "found '0', expected a whole number from 1 on"),
        ("--cutoff", "1.5", "found '1.5', expected a whole number from 1 on"),
        ("--dialect", "klingon", "invalid choice"),
    ],
)
def test_train_refuses_options_that_cannot_be(call, case, option, value, match):
    bad_option(call("train", *TRAIN, option, value), match)
    assert not (case / "run").exists()


def test_a_diverging_run_is_one_line_and_keeps_its_files(call, case):
    assert call("train", *TRAIN, "--max-batches", 2)[0] == 0
    kept = {path: path.read_bytes() for path in (case / "run").glob("tiny_*")}
    code, _, err = call(
        "train", *TRAIN, "--max-batches", 99, "--resume", "run/tiny_last.pt",
        "--set", "learning_rate=1e30",
    )  # fmt: skip
    assert code == 2 and "Traceback" not in err
    assert re.match(r"error: step \d+: found a loss that is not finite \(box ", err.splitlines()[-1])
    assert {path: path.read_bytes() for path in (case / "run").glob("tiny_*")} == kept


def test_problems_stop_training_or_are_skipped(call, case, four):
    four.images[0].write_bytes(b"")
    one_line(call("train", *TRAIN), "list.txt: found 1 problem, the first: .*p0.png: found an empty")
    code, out, _ = call("train", *TRAIN, "--on-problem", "skip", "--max-batches", 1, "--giou")
    assert code == 0 and "step 1: " in out


def test_a_second_set_of_another_format_works_too(call, case):
    """JPEG images, letterboxing and two loss dialects, end to end."""
    drawn = write_set(case / "jpegs", FOUR_IMAGES, ending=".jpg")
    arguments = (
        "--cfg",
        "tiny.cfg",
        "--data",
        drawn.data,
        "--workers",
        0,
        *CPU,
        "--max-batches",
        2,
    )
    assert call("train", *arguments, "--dialect", "pjreddie", "--out", "run")[0] == 0
    code, out, _ = call(
        "evaluate", "--cfg", "tiny.cfg", "--weights", "run/tiny_last.weights", "--data", drawn.data,
        "--letterbox", "--workers", 0, *CPU, "--metric", "coco",
    )  # fmt: skip
    assert code == 0 and "coco AP " in out


def test_a_second_run_replaces_the_first_one_only_when_asked(call, case):
    """Overwriting deletes the best network of the old run, too: a new one without a score would seem to have it."""
    assert call("train", *TRAIN, "--max-batches", 2)[0] == 0
    kept = {path: path.read_bytes() for path in (case / "run").glob("tiny_*")}
    (case / "run" / ".tiny_last.pt.abcdefgh").touch()
    one_line(
        call("train", *TRAIN, "--max-batches", 2),
        r"run: found an earlier run \(tiny_last.pt\), expected none; --resume run/tiny_last.pt continues it, "
        "--overwrite starts from scratch, --out auto",
    )
    assert {path: path.read_bytes() for path in (case / "run").glob("tiny_*")} == kept
    assert not (case / "run" / ".tiny_last.pt.abcdefgh").exists()
    one_line(call("train", *TRAIN, "--resume", "run/tiny_last.pt", "--overwrite"), "found --resume with --overwrite")
    code, out, _ = call("train", *TRAIN, "--out", "auto", "--max-batches", 1)
    assert code == 0 and "step 1: four/backup-1/tiny_last.weights" in out.replace(f"{case}/", "")
    code, out, _ = call("train", *TRAIN, "--max-batches", 1, "--overwrite")
    assert code == 0 and "step 1: run/tiny_last.weights" in out
    assert (case / "run" / "tiny_last.pt").read_bytes() != kept[case / "run" / "tiny_last.pt"]
    assert len((case / "run" / "scalars.csv").read_text().splitlines()) == 2  # the header and one step


def test_mistakes_are_reported_before_any_image_is_read(call, case, four):
    """Here the images are broken: reading them would be another error."""
    for image in four.images:
        image.write_bytes(b"broken")
    (case / "run").mkdir()
    (case / "run" / "tiny_best.weights").write_bytes(b"something")
    new = ("--out", "new")
    one_line(call("train", *TRAIN), "run: found an earlier run")
    one_line(call("train", *TRAIN, "--out", "tiny.cfg"), "tiny.cfg: File exists")
    one_line(call("train", *TRAIN, *new, "--weights", "four/tiny.names"), "tiny.names: ")
    one_line(call("train", *TRAIN, *new, "--resume", "away.pt"), "away.pt: No such file")
    one_line(call("train", *TRAIN, *new, "--freeze", 99), "found none of .* that learns")
    one_line(call("train", *TRAIN, *new, "--set", "bacth=1"), r"did you mean batch\?")
    one_line(call("train", *TRAIN, *new, "--set", "batch=1"), "found batch=1, which is for testing")
    one_line(
        call("train", *TRAIN, *new, "--set", "batch=4096", "subdivisions=1", "width=9600", "height=9600"),
        "only .* GiB are there; found subdivisions=1, expected more: .*; --ignore-memory tries it as it is",
    )
    one_line(call("train", *TRAIN, *new), "found 4 problems")
    assert not (case / "new").exists()


def test_a_detector_of_other_classes_suggests_the_cutoff_and_auto_takes_it(call, case, caplog):
    text = with_classes(cfg_text(), 7)
    save_weights(network_of(text), case / "seven.weights", seen=4000)
    start = ("--weights", "seven.weights", "--max-batches", 1)
    layer = network_of(text).sources[network_of(text).heads[0]][0]
    one_line(
        call("train", *TRAIN, *start),
        f"seven.weights: found this network with 7 classes, expected 2 classes .*--cutoff {layer} .or --cutoff auto",
    )
    caplog.set_level("INFO")
    code, out, _ = call("train", *TRAIN, *start, "--cutoff", "auto")
    assert code == 0 and f"seven.weights: holds this network with 7 classes: --cutoff {layer}" in caplog.text
    assert "step 1: " in out
    (case / "odd.weights").write_bytes((case / "seven.weights").read_bytes()[:-1])
    one_line(
        call("train", *TRAIN, "--weights", "odd.weights", "--cutoff", "auto", "--overwrite"),
        "odd.weights: found a size that fits neither .* expected --cutoff N in place of --cutoff auto",
    )
