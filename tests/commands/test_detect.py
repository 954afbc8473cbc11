"""detect: images and folders, the files that it writes, and wrong input as one line and exit code 2."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.command_calls import DETECT, bad_option, one_line
from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, draw, network_of, write_image
from yolo.data.images import read_image
from yolo.model.weights import save_weights


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
    one_line(result, "four/images/p0.png: found an input, expected another place")
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
    one_line(call("detect", *DETECT, image, "--out", "tiny.cfg"), "tiny.cfg: found a file, expected a folder")
    bad_option(call("detect", *DETECT, image, "--thresh", "25"), "expected a number from 0 to 1")
    bad_option(call("detect", *DETECT, image, "--thresh", "nan"), "expected a number from 0 to 1")
    bad_option(call("detect", *DETECT, image, "--nms", "-1"), "expected a number from 0 to 1")
    bad_option(
        call("detect", *DETECT, image, "--json", "four"),
        "found the folder 'four', expected a file",
    )
    (four.folder / "tiny.names").write_text("red\n")
    one_line(call("detect", *DETECT, image), "tiny.names: found 1 name, expected 2 as in tiny.cfg")
    torch.save({"a": 1}, case / "tiny.weights")
    (four.folder / "tiny.names").write_text("red\ngreen\n\n")
    one_line(call("detect", *DETECT, image), "tiny.weights: ")


def test_names_are_found_beside_the_model_and_said(call, case, four):
    options = [each for each in DETECT if each not in ("--names", "four/tiny.names")]
    (case / "tiny.names").write_text("red\ngreen\n")
    write_image(case / "a.png", draw(FOUR_IMAGES[1]))
    code, out, err = call("detect", *options, "a.png")
    assert (code, err) == (0, f"names: {case / 'tiny.names'}\n") and out.startswith("a.png: ")
    (case / "tiny.names").unlink()
    (case / "my.names").write_text("red\ngreen\n")
    (case / "ten.names").write_text("".join(f"{number}\n" for number in range(10)))
    assert call("detect", *options, "a.png")[2] == f"names: {case / 'my.names'}\n"
    (case / "other.names").write_text("green\nred\n")
    one_line(call("detect", *options, "a.png"), "found several lists .*my.names.*other.names")
    (case / "x.data").write_text("classes=2\nnames=other.names\n")
    assert call("detect", *options, "a.png")[2] == "names: other.names\n"
    for path in case.glob("*.names"):
        path.unlink()
    one_line(call("detect", *options, "a.png"), "found no .data or .names file with 2 names beside the model")


@pytest.mark.parametrize("option", ["--json", "--csv", "--jsonl"])
def test_no_output_replaces_an_input_or_a_file_that_is_no_text(call, case, four, option):
    write_image(case / "a.png", draw([]))
    (case / "list.txt").write_text("a.png\n")
    (case / "other.png").write_bytes((case / "a.png").read_bytes())
    (case / "link.json").symlink_to("tiny.cfg")
    os.link(case / "four/tiny.names", case / "hard.json")
    targets = (
        "tiny.weights",
        "tiny.cfg",
        "four/tiny.names",
        "a.png",
        "list.txt",
        "other.png",
        "link.json",
        "hard.json",
    )
    before = {name: (case / name).read_bytes() for name in targets}
    for name in targets:
        one_line(call("detect", *DETECT, "list.txt", option, name), f"{name}: found ")
    assert {name: (case / name).read_bytes() for name in targets} == before


def test_an_out_that_is_a_file_is_said_before_anything_is_read(call, case):
    (case / "out").write_text("")
    for option, path in (("--out", "out"), ("--crops", "out/a"), ("--json", "out/a.json")):
        result = call("detect", *DETECT, "none.png", option, path)
        one_line(result, "out: found a file, expected a folder to write to")


def test_hand_made_labels_are_not_replaced(call, case, four):
    label = case / "four/labels/p0.txt"
    before = label.read_bytes()
    result = call("detect", *DETECT, "four/images", "--save-labels", "yolo", "--out", "four")
    one_line(result, "four/labels/p0.txt: found the labels of four/images/p0.png")
    assert label.read_bytes() == before


def test_file_names_that_are_not_utf_8_pass_through(call, case, four):
    name = os.fsdecode(b"gr\xfcn.png")
    write_image(case / "a.png", draw(FOUR_IMAGES[1]))
    os.rename(case / "a.png", case / name)
    (case / "list.txt").write_bytes(b"gr\xfcn.png\n")
    outputs = ("--json", "a.json", "--jsonl", "a.jsonl", "--csv", "a.csv", "--out", "out")
    code, out, err = call("detect", *DETECT, "list.txt", "--thresh", ".2", *outputs)
    assert (code, err) == (0, "") and r"gr\udcfcn.png: " in out
    assert json.loads((case / "a.json").read_text())[0]["filename"] == name
    assert json.loads((case / "a.jsonl").read_text(errors="surrogateescape"))["source"] == name
    assert (case / "a.csv").read_bytes().splitlines()[1].startswith(b"gr\xfcn.png,")
    assert os.listdir(case / "out") == [name]


def test_a_file_name_cannot_print_lines_of_its_own(call, case):
    write_image(case / "a\nerror: b\r.png", draw(FOUR_IMAGES[1]))
    code, out, err = call("detect", *DETECT, case / "a\nerror: b\r.png", "--thresh", ".99")
    assert (code, err) == (0, "") and r"/a\nerror: b\r.png: " in out and "\nerror" not in out


def test_a_large_image_among_others_is_one_line(call, case, monkeypatch):
    monkeypatch.setenv("YOLO_MAX_PIXELS", "")  # and back as it was, after the test
    write_image(case / "a.png", draw([], (20, 30)))
    write_image(case / "b.png", draw([], (20, 31)))
    code, out, err = call("detect", *DETECT, "b.png", "a.png", "--max-pixels", "600")
    one_line((code, out, err), "b.png: found 31 x 20 pixels, expected at most 600 in all")
    assert out.startswith("a.png: ")


def test_the_first_command_of_the_readme_needs_no_download(call, project, tmp_path):
    weights, image = project / "weights/shapes-small.weights", project / "data/shapes.png"
    model = ("--cfg", "shapes-small", "--weights", weights, "--device", "cpu")
    code, out, err = call("detect", *model, image, "--out", tmp_path / "out")
    assert (code, err) == (0, f"names: {project / 'data/shapes.names'}\n")
    assert sorted(line.split()[0] for line in out.splitlines()[1:-1]) == [
        "circle",
        "circle",
        "square",
        "square",
        "triangle",
        "triangle",
    ]
    assert (tmp_path / "out" / "shapes.png").exists()
