"""yolo.train.setup.preflight: tables and lines before the first step, word by word; what they count is by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.data.anchors import box_sizes
from yolo.data.check import (
    BAD_LABEL,
    BOX_TWICE,
    IN_BOTH_LISTS,
    MISSING_LABELS,
    TINY_BOX,
    UNSEEN_IN_TRAIN,
    UNSEEN_IN_VALID,
    check_list,
)
from yolo.data.head_anchors import heads_of, placement_of
from yolo.letterbox import letterboxed, stretched
from yolo.records import Problem
from yolo.train.setup.preflight import Memory, all_problems, anchor_lines, fits, memory_line, problem_table

MIB, GIB = 2**20, 2**30
REGION = """
[region]
anchors=1,2, 0.5,3
num=2
classes=2
"""
DETECTION = """
[connected]
output=28
activation=linear
[detection]
side=2
num=1
classes=2
coords=4
"""


def text_with(head):
    body = cfg_text(dropout=False)
    return body[: body.index("[yolo]")] + head


def label_file(drawn, index):
    return drawn.folder / "labels" / f"p{index}.txt"


# ---------------------------------------------------------------------------------------------------------- problems


def test_problems_of_both_lists_come_together_what_stops_first(four):
    label_file(four, 0).write_text("0 .5 .5 .5 .5\n0 .5 .5 .5 .5\n0 .5 .5 .01 .5\n9 .5 .5 .1 .1\n")
    label_file(four, 3).unlink()
    train = check_list(four.folder / "list.txt", 3, 3)
    (four.folder / "valid.txt").write_text(f"{four.images[3]}\n")
    valid = check_list(four.folder / "valid.txt", 3, 3)
    names = ["red", "green", "blue"]
    found = all_problems(network_of(cfg_text()), names, train, valid)
    assert [(problem.kind, problem.message.split(": ")[0]) for problem in found] == [
        (BAD_LABEL, f"{label_file(four, 0)}:4"),
        (MISSING_LABELS, f"{four.images[3]}"),
        (MISSING_LABELS, f"{four.images[3]}"),
        (BOX_TWICE, f"{label_file(four, 0)}:2"),
        (TINY_BOX, f"{label_file(four, 0)}:3"),  # .01 of 64 pixels
        (UNSEEN_IN_TRAIN, "class 2, blue"),
        (UNSEEN_IN_VALID, "class 0, red"),
        (UNSEEN_IN_VALID, "class 1, green"),
        (UNSEEN_IN_VALID, "class 2, blue"),
        (IN_BOTH_LISTS, f"{four.images[3]}"),
    ]
    assert len(all_problems(network_of(cfg_text()), names, train, None)) == 5


def test_the_table_has_a_row_a_kind_with_the_first_of_them():
    problems = [
        Problem(BAD_LABEL, "a.txt:3: found class 7, expected 0 to 2"),
        Problem(BAD_LABEL, "b.txt:1: found class 8, expected 0 to 2"),
        Problem(BOX_TWICE, "a.txt:9: found the box of line 2"),
    ]
    assert problem_table(problems, skip=False).splitlines() == [
        "+--------------------+----------+---------------------------+-----------------------------------------+",
        "| problem            | how many | what the run does         | the first                               |",
        "+--------------------+----------+---------------------------+-----------------------------------------+",
        "| label out of range |        2 | stops; with --on-problem  | a.txt:3: found class 7, expected 0 to 2 |",
        "|                    |          | skip: leaves this box out |                                         |",
        "+--------------------+----------+---------------------------+-----------------------------------------+",
        "| box written twice  |        1 | counts it twice           | a.txt:9: found the box of line 2        |",
        "+--------------------+----------+---------------------------+-----------------------------------------+",
    ]
    assert "| leaves this box out |" in problem_table(problems, skip=True)
    assert "stops" not in problem_table(problems, skip=True)
    assert problem_table([], skip=False) == ""


def test_paths_stay_whole_in_the_table_and_long_words_are_laid_under_each_other():
    path = "/data/" + "very-long-folder/" * 6 + "labels/a.txt:12:"
    table = problem_table([Problem(BAD_LABEL, f"{path} found {'words ' * 30}")], skip=True)
    assert path in table
    assert max(map(len, table.splitlines())) < len(path) + 70


# ----------------------------------------------------------------------------------------------------------- anchors


def test_images_lie_in_the_input_as_cfg_and_dialect_say():
    network = network_of(cfg_text())
    assert placement_of(network) is stretched
    network.input = replace(network.input, letter_box=True)
    assert placement_of(network) is letterboxed


def test_heads_are_read_with_their_masks_and_cells_become_pixels():
    (head,) = heads_of(network_of(cfg_text()))
    assert (head.anchors.tolist(), head.own) == ([[12, 12], [24, 20]], (0, 1))
    assert (head.layer, head.stride) == (len(network_of(cfg_text()).layers) - 1, 8)
    (head,) = heads_of(network_of(text_with(REGION)))
    assert (head.anchors.tolist(), head.own) == ([[8, 16], [4, 24]], (0, 1))  # cells of 8 pixels
    masked = cfg_text().replace("mask=0,1", "mask=1,2").replace("20\n", "20, 40,40\n")
    (head,) = heads_of(network_of(masked.replace("num=2", "num=3")))
    assert (len(head.anchors), head.own) == (3, (1, 2))
    assert heads_of(network_of(text_with(DETECTION))) == []


def lines_of(network, boxes):
    return anchor_lines(network, np.array(boxes, float), Path("x.cfg"), Path("y.data"))


def test_the_anchors_fit_is_a_line(four):
    images = check_list(four.folder / "list.txt", 2, 3).images
    network = network_of(cfg_text())
    boxes = box_sizes(images, (48, 64), stretched)
    # by hand: boxes 16x16, 24x20, 14x14, 20x20, 14x16, 24x20; overlaps with 12x12: 144/256, -, 144/196, -, 144/224, -;
    # with 24x20: 1 twice, 400/480 once; 16x16 overlaps it by 256/480 only
    mean = (144 / 256 + 1 + 144 / 196 + 400 / 480 + 144 / 224 + 1) / 6
    assert lines_of(network, boxes) == [
        f"anchors: best possible recall 1.000 at IoU 0.5, mean IoU {mean:.3f}; "
        f"100.0% of the boxes to layer {len(network.layers) - 1} (stride 8)"
    ]


def test_anchors_that_do_not_fit_get_a_hint_with_the_command():
    boxes = [[40, 8]] * 10 + [[42, 8]] * 10 + [[12, 12]] * 5
    first, second = lines_of(network_of(cfg_text()), boxes)
    assert first.startswith("anchors: best possible recall 0.200 at IoU 0.5")  # 5 of 25
    # by hand: the means 41 x 8 and 12 x 12 overlap 40/41, 41/42 and 1
    mean = (10 * 40 / 41 + 10 * 41 / 42 + 5) / 25
    assert second == (
        f"anchors made for these boxes would have a best possible recall 1.000 at IoU 0.5, mean IoU {mean:.3f}: "
        "yolo-darknet anchors --cfg x.cfg --data y.data prints them"
    )


def test_boxes_of_an_anchor_in_no_mask_are_reported():
    masked = cfg_text().replace("mask=0,1", "mask=1")
    line, *_ = lines_of(network_of(masked.replace("filters=14", "filters=7")), [[12, 12], [24, 20]])
    assert line.endswith("(stride 8), 50.0% to an anchor of no mask, so that nothing learns them")


def test_too_few_boxes_for_a_comparison_and_none_at_all():
    network = network_of(cfg_text())
    assert len(lines_of(network, [[40, 8], [42, 8]])) == 1
    assert lines_of(network, np.zeros((0, 2))) == []
    assert lines_of(network_of(text_with(DETECTION)), [[40, 8]]) == []


# ------------------------------------------------------------------------------------------------------------ memory

MEMORY = Memory(
    parameters=100 * MIB, gradients=100 * MIB, optimizer=100 * MIB,
    activations=2 * GIB, working=212 * MIB,
)  # fmt: skip


@pytest.mark.parametrize(
    ("free", "end"),
    [
        (None, "for weights and the optimizer)"),
        (24 * GIB, "for weights and the optimizer); 24.1 GiB are there"),
        (GIB, "; only 1.1 GiB are there"),
    ],
)
def test_memory_is_a_line(free, end):
    line = memory_line(MEMORY, free, images=16, size=(416, 608))
    # by hand: 512 MiB and 2 GiB; 2048 + 212 MiB; 300 MiB
    begin = "memory: 16 images of 608x416 at a time need about 2.5 GiB (2.2 for activations, 0.29 "
    assert line.startswith(begin) and line.endswith(end)


def test_what_fits_is_what_is_still_to_come():
    to_come = MEMORY.total - MEMORY.parameters
    assert fits(MEMORY, to_come) and not fits(MEMORY, to_come - 1)
