"""tools/train.py, evaluate.py, detect.py, summary.py: real runs, and bad input as one line and exit code 2.

A tool is called in this process where that loses nothing; it is a process of its own where set-up, streams or
signals matter.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import (
    FOUR_IMAGES,
    NAMES,
    cfg_text,
    draw,
    network_of,
    write_image,
    write_set,
)
from yolo.data.images import read_image
from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights

TOOLS = ("train", "evaluate", "detect", "summary")


@pytest.fixture
def call(load_tool, call_tool):
    """call("train", "--cfg", ...) → exit code, stdout, stderr, as the command gives them."""
    return lambda tool, *arguments: call_tool(load_tool(tool), *arguments)


@pytest.fixture
def case(four, tmp_path, monkeypatch):
    """A folder with cfg, weights and the drawn set; the current folder."""
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODEL = ("--cfg", "tiny.cfg", "--weights", "tiny.weights")
CPU = ("--device", "cpu")
DATA = ("--data", "four/tiny.data")
TRAIN = ("--cfg", "tiny.cfg", *DATA, "--out", "run", "--workers", 0, *CPU)
EVALUATE = (*MODEL, *DATA, "--workers", 0, *CPU)
DETECT = (*MODEL, "--names", "four/tiny.names", *CPU)


def one_line(result, match):
    code, _, err = result
    assert code == 2, result
    assert err.count("\n") == 1 and re.search(f"^error: .*{match}", err), err


def bad_option(result, match):
    """argparse shows the usage first, then one line."""
    code, _, err = result
    assert code == 2, result
    assert re.search(f"error: argument .*{match}", err.splitlines()[-1]), err
    assert "Traceback" not in err


def process(*command, cwd):
    """stdout, stderr, exit code of a Python process of its own."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True
    )
    return done.stdout, done.stderr, done.returncode


# ------------------------------------------------------------------------------------------ processes of their own


def test_importing_yolo_imports_no_torch(case):
    lazy = "import sys, yolo; dir(yolo); sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert process("-c", lazy, cwd=case) == ("", "", 0)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_shows_a_real_example(call, tool):
    code, out, err = call(tool, "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"\n  yolo-darknet {tool} --cfg \w+", out), out


def test_the_whole_path_as_a_user_goes_it(project, case, call):
    """Train, evaluate, save results, score those, detect: the numbers agree with each other."""
    script = project / "tools/train.py"
    out, err, code = process(script, *TRAIN, "--workers", 1, "--max-batches", 3, cwd=case)
    assert code == 0, err
    assert "Traceback" not in err and "training on cpu: steps 1 to 3, batch 4 in 1 parts" in err
    assert re.search(r"^3/3  loss \d+\.\d+ \(avg .*\)  IoU .* images/s  0:00:00 left$", err, re.M)
    assert "| mean (mAP) |" in err and "four/list.txt: 4 images, 6 objects" in err
    assert "step 3: run/tiny_last.weights, run/tiny_last.pt\n" in out
    assert re.search(r"best mAP voc07 \d\.\d{4}: run/tiny_best.weights, run/tiny_best.pt\n$", out)
    found = sorted(path.name for path in (case / "run").glob("tiny_*"))
    assert found == ["tiny_best.pt", "tiny_best.weights", "tiny_last.pt", "tiny_last.weights"]
    code, out, _ = call("train", *TRAIN, "--resume", "run/tiny_last.pt", "--max-batches", 5)
    assert code == 0 and "step 5: " in out


# ------------------------------------------------------------------------------------------ train


def test_train_stops_in_one_line(call, case, four):
    bad_option(call("train", *TRAIN, "--set", "nonsense"), "found 'nonsense', expected KEY=VALUE")
    one_line(
        call("train", *TRAIN, "--set", "nonsense=1"), r"found nonsense=1 for \[net\], expected"
    )
    one_line(call("train", *TRAIN, "--set", "batch=many"), "batch: found 'many', expected a whole")
    one_line(call("train", *TRAIN, "--weights", "away.weights"), "away.weights: No such file")
    one_line(call("train", *TRAIN, "--weights", case), f"{case}: Is a directory")
    one_line(call("train", *TRAIN, "--resume", "tiny.weights"), "tiny.weights: found")
    one_line(call("train", *TRAIN, "--resume", "x.pt", "--weights", "y"), "found --resume with")
    one_line(call("train", *TRAIN, "--clear"), "found --clear or --cutoff without --weights")
    one_line(call("train", *TRAIN, "--cutoff", 3), "found --clear or --cutoff without --weights")
    for option in ("--cfg", "--data"):
        one_line(call("train", *TRAIN, option, "four"), "four: Is a directory")
        one_line(call("train", *TRAIN, option, "away"), "away: No such file")
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
    assert re.match(
        r"error: step \d+: found a loss that is not finite \(box ", err.splitlines()[-1]
    )
    assert {path: path.read_bytes() for path in (case / "run").glob("tiny_*")} == kept


def test_problems_stop_training_or_are_skipped(call, case, four):
    four.images[0].write_bytes(b"")
    one_line(
        call("train", *TRAIN), "list.txt: found 1 problems, the first: .*p0.png: found an empty"
    )
    code, out, _ = call("train", *TRAIN, "--on-problem", "skip", "--max-batches", 1, "--giou")
    assert code == 0 and "step 1: " in out


# ------------------------------------------------------------------------------------------ evaluate


def voc_annotations(folder, drawn):
    """The drawn set as VOC XML (pixels from 1, the last one included) and an image set."""
    folder.mkdir()
    for path, boxes in zip(drawn.images, drawn.boxes, strict=True):
        objects = "".join(
            f"<object><name>{NAMES[label]}</name><difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2 + 1}</xmax><ymax>{y2 + 1}</ymax></bndbox></object>"
            for x1, y1, x2, y2, label in boxes
        )
        size = "<size><width>64</width><height>48</height></size>"
        (folder / f"{path.stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    (folder / "set.txt").write_text("".join(f"{path.stem}\n" for path in drawn.images))


def test_saved_results_score_as_evaluate_says(call, case, four):
    assert (
        call("train", *TRAIN, "--max-batches", 60, "--set", "learning_rate=.02", "steps=50")[0] == 0
    )
    arguments = (*EVALUATE, "--weights", "run/tiny_last.weights", "--json", "ours.json")
    code, out, _ = call("evaluate", *arguments, "--save-results", "results")
    assert code == 0
    assert "results: 2 files, results/comp4_det_test_CLASS.txt\n" in out
    ours = json.loads((case / "ours.json").read_text())
    assert set(ours["metrics"]) == {"voc07", "area", "coco"} and "AP50" in ours["coco"]
    voc_annotations(case / "xml", four)
    code, scored, _ = call(
        "score_voc",
        "results",
        "--annotations",
        "xml",
        "--imageset",
        "xml/set.txt",
        "--json",
        "s.json",
    )
    assert code == 0
    theirs = json.loads((case / "s.json").read_text())["metrics"]
    for metric in ("voc07", "area"):
        assert theirs[metric] == ours["metrics"][metric]
        assert theirs[metric]["mAP"] > 0  # or there would be nothing to compare
    line = next(line for line in scored.splitlines() if line.startswith("mAP "))
    assert line in out or out.count(line.split("  ")[0]) == 1


def test_evaluate_writes_a_report_that_compare_reads(call, case):
    code, out, err = call("evaluate", *EVALUATE, "--report", "a", "--metric", "voc07")
    assert code == 0, err
    assert out.endswith("report: a/index.html\n") and "AP coco" not in out
    page = (case / "a/index.html").read_text()
    about = json.loads((case / "a/report.json").read_text())["about"]
    assert (
        about["weights_sha256"] == hashlib.sha256((case / "tiny.weights").read_bytes()).hexdigest()
    )
    assert (
        about["weights_sha256"] in page and "Darknet" in page and "--report a" in about["command"]
    )
    save_weights(network_of(cfg_text(), seed=2), case / "tiny.weights")
    assert call("evaluate", *EVALUATE, "--report", "b")[0] == 0
    code, out, err = call("compare", "a", "b", "--report", "c")
    assert code == 0 and out.endswith("page: c/index.html\n"), err


def test_evaluate_leaves_out_what_is_broken_and_says_so(call, case, four):
    four.images[0].unlink()
    code, out, _ = call("evaluate", *EVALUATE, "--metric", "voc07")
    assert code == 0 and "1 x image that is not there" in out and "p0.png: no such file" in out
    assert re.search(r"red +\| +2 \|", out)
    one_line(
        call("evaluate", *EVALUATE, "--on-problem", "stop"),
        r"list.txt: found 1 problems, the first: .*p0.png: no such file.*; --on-problem skip leaves",
    )


def test_heads_of_different_classes_are_one_line(call, case):
    more = "[convolutional]\nfilters=16\n[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=3\nnum=2\n"
    (case / "tiny.cfg").write_text(cfg_text() + "[route]\nlayers=-3\n" + more)
    for command in (("summary", "--cfg", "tiny.cfg"), ("evaluate", *EVALUATE), ("train", *TRAIN)):
        one_line(call(*command), r"tiny.cfg:\d+: \[yolo\] classes: found '3', expected 2, as in")


def test_evaluate_stops_in_one_line(call, case, four, tmp_path):
    one_line(call("evaluate", *EVALUATE, "--weights", "tiny.cfg"), "tiny.cfg: ")
    one_line(call("evaluate", *EVALUATE, "--data", "tiny.cfg"), "tiny.cfg:1: found")
    one_line(call("evaluate", *EVALUATE, "--save-results", "tiny.cfg"), "tiny.cfg: File exists")
    bad_option(call("evaluate", *EVALUATE, "--json", "."), "found the folder '.', expected a file")
    bad_option(call("evaluate", *EVALUATE, "--batch", "0"), "expected a whole number from 1 on")
    bad_option(call("evaluate", *EVALUATE, "--device", "gpu"), "expected a device")
    (four.folder / "tiny.names").write_text("red\n\ngreen\n")
    one_line(
        call("evaluate", *EVALUATE), "tiny.data: found classes=2 and 3 names, expected 2 as in"
    )
    four.data.write_text("classes=2\ntrain=four/list.txt\n")
    one_line(call("evaluate", *EVALUATE), "four/tiny.data: expected the keys valid and names")


def test_results_files_need_images_and_classes_with_names_of_their_own(call, case, four):
    twin = write_image(case / "elsewhere" / "p0.jpg", draw(FOUR_IMAGES[0]))
    (four.folder / "list.txt").write_text(f"{four.images[0]}\n{twin}\n")
    assert call("evaluate", *EVALUATE)[0] == 0
    result = call("evaluate", *EVALUATE, "--save-results", "results")
    one_line(result[:1] + ("",) + result[2:], "found 1 names twice, such as p0, expected each once")
    (four.folder / "list.txt").write_text(f"{twin}\n")
    (four.folder / "tiny.names").write_text("red\ngreen/blue\n")
    one_line(
        call("evaluate", *EVALUATE, "--save-results", "results"), "found class name 'green/blue'"
    )
    assert not (case / "results").exists()


# ------------------------------------------------------------------------------------------ detect


def test_detect_draws_writes_and_prints_files_and_folders(call, case, four):
    alone = write_image(case / "alone.jpg", draw(FOUR_IMAGES[1]))
    (four.folder / "images" / "notes.txt").write_text("no image")
    (four.folder / "images" / "folder.png").mkdir()
    code, out, err = call(
        "detect", *DETECT, "alone.jpg", "four/images", "--thresh", ".2", "--out", "out/here",
        "--json", "found.json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    frames = json.loads((case / "found.json").read_text())
    assert [frame["filename"] for frame in frames] == [
        "alone.jpg", *(f"four/images/p{index}.png" for index in range(4)),
    ]  # fmt: skip
    for frame in frames:
        count = len(frame["objects"])
        assert f"{frame['filename']}: {count} object{'' if count == 1 else 's'}\n" in out
    assert sum(len(frame["objects"]) for frame in frames) > 0
    assert sorted(path.name for path in (case / "out/here").iterdir()) == [
        "alone.png", "p0.png", "p1.png", "p2.png", "p3.png",
    ]  # fmt: skip
    drawn, plain = read_image(case / "out/here/alone.png"), read_image(alone)
    assert drawn.shape == plain.shape and (drawn != plain).any()


def test_an_unreadable_image_among_good_ones_costs_only_itself(call, case, four):
    four.images[1].write_bytes(four.images[1].read_bytes()[:60])
    sources = [*four.images, "four/tiny.names"]
    code, out, err = call("detect", *DETECT, *sources, "--out", "out", "--json", "found.json")
    one_line((code, out, err), "2 of 5 images could not be read: .*p1.png: found .*tiny.names")
    assert sorted(path.name for path in (case / "out").iterdir()) == ["p0.png", "p2.png", "p3.png"]
    assert len(json.loads((case / "found.json").read_text())) == 3


def test_images_of_one_name_are_all_written(call, case):
    sources = [
        write_image(case / folder / name, draw([], (20, 30)))
        for folder, name in (("a/x", "p.png"), ("b/x", "p.png"), ("b", "p.jpg"), ("b", "x_p.png"))
    ]
    code, _, _ = call("detect", *DETECT, *sources, sources[0], "--out", "out")
    assert code == 0
    assert sorted(path.name for path in (case / "out").iterdir()) == [
        "b_p.png", "x_p-2.png", "x_p-3.png", "x_p.png",
    ]  # fmt: skip


def test_detect_never_replaces_an_image_it_looks_at(call, case, four):
    before = four.images[0].read_bytes()
    result = call("detect", *DETECT, "four/images", "--out", "four/images")
    one_line(result, "four/images/p0.png: found an input image, expected an --out without")
    assert four.images[0].read_bytes() == before


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_detect_takes_images_of_one_pixel(call, case, size):
    write_image(case / "dot.png", draw([], size))
    for more in ((), ("--letterbox",)):
        code, _, err = call("detect", *DETECT, "dot.png", "--thresh", ".01", "--out", "out", *more)
        assert (code, err) == (0, "")
        assert read_image(case / "out" / "dot.png").shape == (*size, 3)


def test_detect_with_a_gray_network_draws_in_color(call, case):
    (case / "tiny.cfg").write_text(cfg_text(channels=1))
    save_weights(network_of(cfg_text(channels=1), seed=1), case / "tiny.weights")
    write_image(case / "a.png", draw(FOUR_IMAGES[0]))
    assert call("detect", *DETECT, "a.png", "--thresh", ".2", "--out", "out")[0] == 0
    drawn = cv2.imread(str(case / "out" / "a.png"))
    assert drawn.shape == (48, 64, 3) and np.ptp(drawn.astype(int), axis=2).max() > 0


def test_detect_stops_in_one_line(call, case, four):
    one_line(call("detect", *DETECT, "away.jpg"), "away.jpg: no such file or folder")
    (case / "empty").mkdir()
    one_line(call("detect", *DETECT, "empty"), "empty: found no image in this folder")
    image = four.images[0]
    one_line(call("detect", *DETECT, image, "--out", "tiny.cfg"), "tiny.cfg: File exists")
    bad_option(call("detect", *DETECT, image, "--thresh", "25"), "expected a number from 0 to 1")
    bad_option(call("detect", *DETECT, image, "--thresh", "nan"), "expected a number from 0 to 1")
    bad_option(call("detect", *DETECT, image, "--nms", "-1"), "expected a number from 0 to 1")
    bad_option(
        call("detect", *DETECT, image, "--json", "four"),
        "found the folder 'four', expected a file",
    )
    (four.folder / "tiny.names").write_text("red\n")
    one_line(call("detect", *DETECT, image), "tiny.names: found 1 names, expected 2 as in tiny.cfg")
    torch.save({"a": 1}, case / "tiny.weights")
    (four.folder / "tiny.names").write_text("red\ngreen\n\n")
    one_line(call("detect", *DETECT, image), "tiny.weights: ")


# ------------------------------------------------------------------------------------------ summary


def test_summary_prints_layers_parameters_and_the_size_of_the_weights(call, case):
    code, out, err = call("summary", "--cfg", "tiny.cfg")
    assert (code, err) == (0, "")
    # by hand: 3*6*9 + 4*6, 6*12*9 + 4*12, 12*14 + 14 numbers, of which the running ones are no parameters
    numbers = (162 + 24) + (648 + 48) + (168 + 14)
    assert f"parameters {numbers - 2 * 6 - 2 * 12:,}\n" in out
    assert f".weights {20 + 4 * numbers:,} bytes\n" in out
    assert (case / "tiny.weights").stat().st_size == 20 + 4 * numbers
    assert "Total BFLOPS 0.000\n" in out or "Total BFLOPS 0.001\n" in out


def test_summary_stops_in_one_line(call, case):
    one_line(call("summary", "--cfg", "away.cfg"), "away.cfg: No such file")
    one_line(call("summary", "--cfg", "tiny.weights"), r"tiny.weights:\d+: found")
    one_line(call("summary", "--cfg", case), "Is a directory")


# ------------------------------------------------------------------------------------------ the demo


def test_the_demos_network_fits_the_demos_data(project, tmp_path):
    network = Network.from_cfg(project / "cfg" / "shapes.cfg")
    assert (network.input.height, network.input.width) == (128, 160)
    assert {network.layers[head].classes for head in network.heads} == {3}
    save_weights(network, tmp_path / "a.weights")
    assert load_weights(network, tmp_path / "a.weights").seen == 0


def test_the_demo_removes_only_what_it_makes(project, tmp_path):
    """PY=false ends the script at its first command."""
    (tmp_path / "demo" / "shapes").mkdir(parents=True)
    (tmp_path / "demo" / "mine.txt").write_text("kept")
    done = subprocess.run(
        ["sh", project / "tools/demo.sh", tmp_path / "demo"],
        env={"PY": "false", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode != 0
    assert [path.name for path in Path(tmp_path / "demo").iterdir()] == ["mine.txt"]


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
