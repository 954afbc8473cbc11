"""new: a folder of images becomes a scored detector; started again it continues, and replaces no file."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from tests.helpers.command_calls import CPU, bad_option, one_line
from tests.helpers.tiny_data import cfg_text, with_classes, write_image
from yolo.cfg import read_cfg
from yolo.console.run import EXIT_INTERRUPTED
from yolo.data.shapes import write_shapes
from yolo.data_file import read_data
from yolo.train.log.logger import Logger


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The current folder: photos/ with eleven images and their VOC XML side by side, and a small cfg."""
    write_shapes(tmp_path / "drawn", 10, 1, 1, (64, 64))
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in (*(tmp_path / "drawn" / "JPEGImages").iterdir(), *(tmp_path / "drawn" / "Annotations").iterdir()):
        shutil.move(path, folder)
    (tmp_path / "small.cfg").write_text(with_classes(cfg_text(), 80))
    monkeypatch.chdir(tmp_path)
    return folder


NEW = ("photos", "--base", "small.cfg", "--epochs", 3, *CPU)


def test_the_first_start_prepares_everything_and_prints_what_comes_next(call, photos):
    code, out, err = call("new", *NEW)
    assert (code, err) == (0, "")
    assert "$ yolo-darknet convert_voc photos --split 0.2 --seed 0 --name photos --out photos-detector/data\n" in out
    sections = read_cfg("photos-detector/photos.cfg")
    assert sections[-1].integer("classes") == 3 and sections[0].integer("max_batches") < 20
    *_, train, evaluate, detect = out.splitlines()
    assert train.startswith("  yolo-darknet train --cfg photos-detector/photos.cfg --data photos-detector/data/")
    assert (
        "--weights photos-detector/run/photos_best.weights" in evaluate
        and "--report photos-detector/report" in evaluate
    )
    assert "--out photos-detector/pictures --json photos-detector/detections.json" in detect
    assert out.count("next") == 1 and not (photos.parent / "photos-detector" / "run").exists()


def test_go_trains_scores_and_draws_and_reports_it_the_second_time(call, photos, tmp_path):
    assert call("new", *NEW)[0] == 0
    out = tmp_path / "photos-detector"
    # as an interruption leaves it: one step is done
    data = next(out.glob("data/*.data"))
    train = ("--cfg", out / "photos.cfg", "--data", data, "--out", "photos-detector/run", "--workers", 0, *CPU)
    assert call("train", *train, "--max-batches", 1)[0] == 0
    code, said, _ = call("new", *NEW, "--go")
    assert code == 0
    assert "== labels and lists: done before" in said and "== a cfg for these classes and boxes: done before" in said
    assert "--resume photos-detector/run/photos_last.pt" in said
    last = read_cfg(out / "photos.cfg")[0].integer("max_batches")
    assert f"step {last}: photos-detector/run/photos_last.weights" in said
    assert (out / "report" / "index.html").is_file()
    valid = read_data(data).valid.read_text().splitlines()
    assert len(list((out / "pictures").iterdir())) == len(valid) > 0
    assert len(json.loads((out / "detections.json").read_text())) == len(valid)
    assert (out / "photos.names").read_text() == "circle\nsquare\ntriangle\n"
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    code, said, _ = call("new", *NEW, "--go")
    assert code == 0 and said.count("done before") == 5 and "$ " not in said
    assert "network: photos-detector/photos.cfg, photos-detector/run/photos_best.weights" in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == kept
    one_line(call("new", *NEW, "--seed", 3), "found a start with --seed 0, expected --seed 3; --out takes")


def test_a_folder_that_changed_is_converted_again_before_the_training_and_reported_after(call, photos):
    out = photos.parent / "photos-detector"
    assert call("new", *NEW)[0] == 0
    assert "since the conversion" not in "".join(map(str, call("new", *NEW)))  # nothing changed
    for ending in (".jpg", ".xml"):
        shutil.copy(sorted(photos.glob(f"*{ending}"))[0], photos / f"added{ending}")
    (photos / "Thumbs.db").write_bytes(b"no image")
    for xml in photos.glob("*.xml"):  # other labels than those of the first conversion
        xml.write_text(xml.read_text().replace("circle", "ring"))
    code, said, err = call("new", *NEW)
    change = "photos: .xml files 11 -> 12, images 11 -> 12 since the conversion"
    assert code == 0 and err == "" and said.startswith(f"{change}, which is repeated\n")
    assert "done before" not in said and (out / "photos.cfg.before").exists()
    data = read_data(out / "data" / "voc.data")
    assert data.names.read_text() == "ring\nsquare\ntriangle\n" == (out / "photos.names").read_text()
    assert any("added.jpg" in path.read_text() for path in (data.train, data.valid))
    (out / "run").mkdir()  # the training began
    os.utime(photos / "added.xml", (1, 1))
    code, said, err = call("new", *NEW)
    assert code == 0 and "labels and lists: done before" in said
    assert err.startswith("photos: files were changed or renamed since the conversion, and the training does not use")
    (out / "new-files.json").write_text("[]")
    one_line(call("new", *NEW), "new-files.json: found something else, expected what `new` writes")


def test_what_comes_next_is_what_is_left_to_do(call, photos):
    assert call("new", *NEW)[0] == 0
    data = next((photos.parent / "photos-detector" / "data").glob("*.data"))
    train = ("--cfg", "photos-detector/photos.cfg", "--data", data, "--out", "photos-detector/run", "--workers", 0)
    assert call("train", *train, *CPU, "--max-batches", 1)[0] == 0
    code, said, _ = call("new", *NEW)
    *_, line, evaluate, _ = said.splitlines()
    assert code == 0 and line.endswith("--resume photos-detector/run/photos_last.pt") and " evaluate " in evaluate


def test_ctrl_c_names_the_command_that_goes_on_and_no_option_of_train(call, photos, monkeypatch):
    step_of = Logger.step

    def interrupting(*arguments):
        step_of(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Logger, "step", interrupting)
    code, out, err = call("new", *NEW, "--go")
    assert code == EXIT_INTERRUPTED and "\nstep 1: photos-detector/run/photos_last.weights" in out
    assert err.splitlines()[-2:] == [
        f"to continue: yolo-darknet new {' '.join(map(str, (*NEW, '--go')))}",
        "interrupted",
    ]
    assert "--resume" not in out + err


def test_wrong_folders_and_options_are_one_line_and_write_nothing(call, photos, tmp_path):
    one_line(call("new", "away"), "away: found no such folder, expected one with images")
    one_line(call("new", "photos", "--width", 64), "found one of --width and --height")
    (tmp_path / "empty").mkdir()
    one_line(call("new", "empty", *CPU), "empty: found no annotations, expected images with VOC XML, COCO JSON or")
    bad_option(call("new", "photos", "--name", "a/b"), "--name: found 'a/b', expected a name without /")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "empty", "photos", "small.cfg"]
    (tmp_path / "mine" / "run").mkdir(parents=True)
    one_line(call("new", *NEW, "--out", "mine"), "mine/run: found what `new` did not write")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["run"]


def test_broken_entries_are_skipped_on_request_and_annotations_without_an_image_always(call, photos):
    """The second start may have other options: the first wrote nothing."""
    (photos / "broken.xml").write_text("<annotation>")
    shutil.copy(sorted(photos.glob("*.xml"))[-1], photos / "orphan.xml")
    code, _, err = call("new", *NEW)
    assert code == 2 and "broken.xml:1: not XML" in err and not (photos.parent / "photos-detector").exists()
    code, out, _ = call("new", *NEW, "--epochs", 1, "--on-problem", "skip")
    assert code == 0 and "left out: 1 x unusable annotation, 1 x image that is not there" in out
    assert "orphan.jpg: no such file, though it is annotated" in out
    *_, train, _, _ = out.splitlines()
    assert train.endswith("--on-problem skip")
    data = read_data("photos-detector/data/voc.data")
    assert sorted(path.split("/")[-1] for each in (data.train, data.valid) for path in each.read_text().split()) == [
        path.name for path in sorted(photos.glob("*.jpg"))
    ]


def test_a_folder_with_coco_json_is_converted_too(call, photos, tmp_path):
    folder = tmp_path / "coco"
    for part in ("train", "valid"):
        (folder / part).mkdir(parents=True)
    for number, path in enumerate(sorted(photos.glob("*.jpg"))[:4]):
        shutil.copy(path, folder / ("train" if number < 3 else "valid"))
    for part in ("train", "valid"):
        images = [{"id": n, "file_name": path.name, "width": 64, "height": 64}
                  for n, path in enumerate(sorted((folder / part).iterdir()))]  # fmt: skip
        boxes = [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": [8, 8, 20 + 9 * n, 24], "area": 480,
                  "iscrowd": 0} for n in range(len(images))]  # fmt: skip
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
        (folder / part / "_annotations.coco.json").write_text(json.dumps(content))
        (folder / part / "._annotations.coco.json").write_bytes(b"\0\5\x16\7")  # as macOS writes beside it
    code, out, err = call("new", "coco", "--base", "small.cfg", "--epochs", 1, *CPU)
    assert (code, err) == (0, "")
    assert "$ yolo-darknet convert_coco coco --name coco --out coco-detector/data\n" in out
    data = read_data(next((tmp_path / "coco-detector" / "data").glob("*.data")))
    assert [len(path.read_text().splitlines()) for path in (data.train, data.valid)] == [3, 1]


@pytest.mark.parametrize(
    "epochs, option",
    [
        (1, []),  # 19 steps: too few to learn from
        (12, ["--burn-in", "57"]),  # 228 steps: a quarter; in proportion it would be 15, with which it diverged
        (30, ["--burn-in", "60"]),  # 570 steps
        (79, []),  # 1,501 steps: the base's own 100
    ],
)
def test_a_short_run_keeps_enough_burn_in(load_tool, epochs, option):
    assert load_tool("new")._burn_in("shapes", 304, epochs) == option


def test_without_a_base_a_cpu_gets_the_small_network_of_the_demo(call, photos):
    code, out, err = call("new", "photos", *CPU)
    assert (code, err) == (0, "")
    assert "$ yolo-darknet make_cfg --base shapes --data" in out and "--width 64 --height 64 --epochs " in out


def test_the_input_on_a_cpu_has_the_images_shape_in_multiples_of_32(load_tool, tmp_path):
    """By hand: 640 x 480 becomes 320 x 240, and 240 is 7.5 x 32."""
    size = load_tool("new")._cpu_size
    paths = [write_image(tmp_path / f"{number}.png", np.zeros((480, 640, 3), np.uint8)) for number in range(3)]
    small = write_image(tmp_path / "small.png", np.zeros((40, 160, 3), np.uint8))
    assert size([*paths, small]) == (320, 256)
    assert size([small]) == (160, 32)
    assert size([]) == (320, 320)
