"""detect: images and folders, the files that it writes, and wrong input as one line and exit code 2."""

import json

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
