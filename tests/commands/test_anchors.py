"""anchors: its lines make a cfg that fits better, and wrong input is one line and exit code 2."""

import re

import numpy as np
import pytest

from tests.helpers.tiny_data import cfg_text, network_of, write_set
from yolo.data.head_anchors import heads_of

# The middles of three heaps of boxes, (width, height) in an image of 64 x 48, which is the network's size too.
HEAPS = ((8, 12), (30, 14), (16, 40))
REGION = "[region]\nanchors=1,2, 0.5,3\nnum=2\nclasses=2\n"


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A cfg with three anchors in two heads, and images whose boxes lie around three sizes."""
    rng = np.random.default_rng(1)
    images = []
    for index in range(12):
        width, height = np.array(HEAPS[index % 3]) + rng.integers(-1, 2, 2)
        images.append([(2, 2, 2 + int(width), 2 + int(height), index % 2)])
    write_set(tmp_path / "set", images)
    monkeypatch.chdir(tmp_path)
    body = cfg_text(dropout=False).replace("24,20", "24,20, 30,30").replace("num=2", "num=3")
    finer = "[route]\nlayers=-4\n[convolutional]\nfilters=7\nsize=1\nactivation=linear\n" + body[
        body.index("[yolo]") :
    ].replace("mask=0,1", "mask=2")
    (tmp_path / "two.cfg").write_text(body + finer)
    return tmp_path


@pytest.fixture
def anchors(load_tool, call_tool):
    return lambda *arguments: call_tool(load_tool("anchors"), *arguments)


DATA = ("--data", "set/tiny.data")


def recalls(out):
    return [float(found) for found in re.findall(r"best possible recall ([\d.]+)", out)]


def test_the_lines_put_into_the_cfg_fit_better(case, anchors):
    code, out, err = anchors("--cfg", "two.cfg", *DATA)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "12 boxes at 64x48"
    assert lines[1].startswith("the cfg: ") and lines[2].startswith("k-means: ")
    before, after = recalls(out)
    assert before < 0.7 and after == 1
    found = [[float(side) for side in pair.split(",")] for pair in lines[4][10:].split(",  ")]
    # by hand: boxes of a heap are at most a pixel from its middle, and so is their mean
    assert np.abs(np.array(found) - sorted(HEAPS, key=np.prod)).max() <= 1
    assert lines[5] == "num = 3"
    # the second head, behind the route, has the finer grid and gets the smallest anchor: a heap of three
    assert [line.partition(" in layer")[0].strip() for line in lines[6:]] == [
        "mask = 1,2",
        "mask = 0",
    ]
    assert [line.rsplit(": ")[1] for line in lines[6:]] == [
        "66.7% of the boxes",
        "33.3% of the boxes",
    ]

    text = (case / "two.cfg").read_text()
    text = re.sub("anchors=.*", lines[4], text)
    text = text.replace("mask=0,1", "mask=1,2").replace("mask=2\n", "mask=0\n")
    (case / "better.cfg").write_text(text)
    assert [head.own for head in heads_of(network_of(text))] == [(1, 2), (0,)]
    _, out, _ = anchors("--cfg", "better.cfg", *DATA)
    assert recalls(out) == [1, 1] and out.splitlines()[1][9:] == lines[2][9:]


def test_another_size_scales_the_anchors(case, anchors):
    """By hand: twice the size, twice the anchors, but for rounding to whole pixels."""

    def found(*arguments):
        _, out, _ = anchors("--cfg", "two.cfg", *DATA, *arguments)
        return np.array(re.findall(r"\d+", out.splitlines()[4]), float)

    once, twice = found(), found("--set", "width=128", "height=96")
    assert np.abs(twice - 2 * once).max() <= 1


def test_anchors_of_a_region_are_in_cells(case, anchors):
    body = cfg_text(dropout=False)
    (case / "region.cfg").write_text(body[: body.index("[yolo]")] + REGION)
    code, out, _ = anchors("--cfg", "region.cfg", *DATA)
    *_, line, number = out.splitlines()
    assert code == 0 and number == "num = 2"
    sides = [float(side) for side in re.findall(r"\d+\.\d{4}", line)]
    assert len(sides) == 4 and max(sides) < 48 / 8  # a cell is 8 pixels


def test_wrong_input_is_one_line(case, anchors):
    def refused(match, *arguments):
        code, _, err = anchors(*arguments)
        assert code == 2 and err.count("\n") == 1 and re.search(f"^error: .*{match}", err), err

    refused("away.cfg: No such file", "--cfg", "away.cfg", *DATA)
    refused("away.data: No such file", "--cfg", "two.cfg", "--data", "away.data")
    (case / "no.data").write_text("classes=2\n")
    refused("no.data: found no train, expected", "--cfg", "two.cfg", "--data", "no.data")
    (case / "none.cfg").write_text("[net]\nwidth=64\nheight=48\n[convolutional]\nfilters=2\n")
    refused("none.cfg: found no head with anchors, expected", "--cfg", "none.cfg", *DATA)
    for index in range(12):
        label = case / "set" / "labels" / f"p{index}.txt"
        label.write_text("0 .5 .5 .3 .3\n" if index else "0 .5 .5 .2 .2\n")
    refused("found 2 different sizes of boxes, expected at least 3", "--cfg", "two.cfg", *DATA)
    for label in (case / "set" / "labels").iterdir():
        label.write_text("")
    refused("list.txt: found no box of a pixel or more", "--cfg", "two.cfg", *DATA)


def test_problems_of_the_list_are_reported(case, anchors):
    (case / "set" / "labels" / "p3.txt").write_text("7 .5 .5 .2 .2\n")
    code, out, err = anchors("--cfg", "two.cfg", *DATA)
    assert code == 0 and out.startswith("11 boxes")
    assert err.splitlines()[0] == "1 x label out of range" and err.endswith("expected 0 to 1\n")


def test_help_shows_a_real_example(anchors):
    code, out, _ = anchors("--help")
    assert code == 0 and "\n  yolo-darknet anchors --cfg yolov3-voc --data" in out
