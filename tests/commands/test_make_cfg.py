"""make_cfg: the new cfg trains as it is, the base is not changed, and no file is replaced without an option."""

import re
import shlex
from pathlib import Path

import pytest

from tests.helpers.tiny_data import cfg_text
from yolo.cfg import parse_cfg, read_cfg
from yolo.data_file import DataFile
from yolo.model.network import build


@pytest.fixture
def make(load_tool, call_tool, four, tmp_path):
    (tmp_path / "base.cfg").write_text(cfg_text().replace("classes=2", "classes=80").replace("=14", "=170"))

    def call(*options, base="base.cfg", out="new.cfg"):
        paths = "--base", tmp_path / base, "--data", four.data, "--out", tmp_path / out
        return call_tool(load_tool("make_cfg"), *paths, "--device", "cpu", *options)

    return call


def test_the_new_cfg_is_written_with_its_changes_and_what_comes_next(make, tmp_path, four):
    code, out, err = make("--width", 96, "--height", 64)
    assert (code, err) == (0, "")
    text = (tmp_path / "new.cfg").read_text()
    network, unread = build(parse_cfg(text, "new.cfg"))
    assert network.classes == 2 and (network.input.height, network.input.width) == (64, 96)
    assert unread == [] and network.training_settings.max_batches == 6000
    lines = text.split("\n")
    for line in out.split("\n"):
        if line.startswith("  line "):
            number, change = line.removeprefix("  line ").split(": ", 1)
            key, values = change.split("] ")[1].split(": ", 1)
            assert lines[int(number) - 1].replace(" ", "") == f"{key}={values.split(' -> ')[1]}".replace(" ", "")
    assert "[convolutional] filters: 170 -> 14" in out and "[yolo] classes: 80 -> 2" in out
    assert f"  yolo-darknet train --cfg {tmp_path / 'new.cfg'} --data {four.data}\n" in out


def test_it_is_said_why_the_anchors_stay(make, four):
    for labels in (four.folder / "labels").glob("*.txt"):
        labels.write_text("0 .5 .5 .25 .5\n")
    out = make()[1]
    assert re.search(r"^anchors: found 1 different size of boxes, expected at least 2 .*; the base's stay$", out, re.M)
    assert "anchors:" not in make("--keep-anchors", "--overwrite")[1]


def test_the_burn_in_can_be_chosen(make, tmp_path):
    assert make("--burn-in", 7)[0] == 0
    assert read_cfg(tmp_path / "new.cfg")[0].integer("burn_in") == 7


def test_printed_paths_with_spaces_are_quoted(load_tool):
    data = DataFile("my data/x.data", 1, None, Path("v.txt"), Path("my data/x.names"), Path("my backup"), None)
    lines = load_tool("make_cfg").next_commands(Path("my cfg.cfg"), Path(data.path), data, False)
    assert [shlex.split(line)[1] for line in lines] == ["train", "evaluate", "detect"]
    for line in lines:
        words = shlex.split(line)
        assert words[words.index("--cfg") + 1] == "my cfg.cfg"
    assert shlex.split(lines[2])[4:8] == ["--weights", "my backup/my cfg_best.weights", "--names", "my data/x.names"]


def test_a_classifier_classifies_and_needs_images_of_classes(load_tool, make, tmp_path):
    data = DataFile("x.data", 1, None, None, Path("x.names"), None, None)
    lines = load_tool("make_cfg").next_commands(Path("x.cfg"), Path("x.data"), data, True)
    assert lines[-1] == "yolo-darknet classify --cfg x.cfg --weights backup/x_last.weights --names x.names IMAGE"
    (tmp_path / "base.cfg").write_text("[net]\nbatch=4\nwidth=16\nheight=16\n[conv]\nfilters=9\n[avgpool]\n[softmax]\n")
    code, _, err = make()
    assert code == 2 and "found no image of a class, expected a folder for each class" in err


def test_the_printed_command_trains(make, load_tool, call_tool, tmp_path, four, monkeypatch):
    make("--epochs", 1)
    options = "--cfg", tmp_path / "new.cfg", "--data", four.data, "--out", tmp_path / "run"
    code, out, _ = call_tool(load_tool("train"), *options, "--workers", 0, "--device", "cpu")
    assert code == 0 and "new_last.weights" in out


def test_a_file_that_is_there_stays(make, tmp_path):
    (tmp_path / "new.cfg").write_text("mine")
    code, _, err = make()
    assert code == 2 and "new.cfg: found this file, expected a new one; --overwrite replaces it" in err
    assert (tmp_path / "new.cfg").read_text() == "mine"
    assert make("--overwrite")[0] == 0 and (tmp_path / "new.cfg").read_text() != "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--width", 64), "found one of --width and --height, expected both"),
        (("--out", "{tmp}/base.cfg"), "found the base itself"),
        (("--base", "yolov4-tony"), "expected a file or one of"),
        (("--data", "{tmp}/none.data"), "none.data: No such file"),
    ],
)
def test_wrong_options_are_one_line(make, tmp_path, options, message):
    code, _, err = make(*(str(each).format(tmp=tmp_path) for each in options))
    assert code == 2 and message in err and "Traceback" not in err
    assert not (tmp_path / "new.cfg").exists()
