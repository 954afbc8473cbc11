"""All metrics side by side: one small case in every convention by hand, and what does not exist shown as such."""

import json
import re

import numpy as np
import pytest

from tests.helpers.box_rows import detections_of, ground_truth_of
from yolo.evaluate.metrics.all import all_metrics
from yolo.evaluate.metrics.coco import coco_score
from yolo.evaluate.metrics.conventions import (
    HEADINGS,
    confusions_line,
    conventions_table,
    counts_table,
    everything_text,
    metric_rows,
    metrics_record,
)
from yolo.records import Evaluation

BIG, HALF, FAR = (100, 100, 116, 116), (100, 100, 108, 116), (0, 0, 50, 50)
NAMES = ("cat", "dog", "eel")


def evaluation_of(ground_truths, found, names=NAMES, images=2) -> Evaluation:
    ids = tuple(f"p{number}" for number in range(images))
    sizes = np.full((images, 2), 200)
    return Evaluation(names, ids, sizes, ground_truth_of(*ground_truths), detections_of(*found))


@pytest.fixture
def metrics():
    """Two cats: one has a detection HALF, IoU 1/2 without and 9/17 with the last pixel; FAR is on a difficult one.

    The dog is found as a cat. There is no eel.
    """
    ground_truths = [(0, 0, BIG, False), (1, 0, BIG, False), (0, 0, FAR, True), (1, 1, FAR, False)]
    found = [(0, 0, 0.9, FAR), (0, 0, 0.8, HALF), (1, 0, 0.7, FAR), (1, 0, 0.1, BIG)]
    evaluation = evaluation_of(ground_truths, found)
    return all_metrics(evaluation, coco_score(evaluation), iou_thresh=0.5, score_thresh=0.25)


def value(metrics, name):
    (row,) = [row for row in metric_rows(metrics) if row.metric == name]
    return row.value


def test_one_case_in_all_conventions_by_hand(metrics):
    # VOC, of the cat: TP, FP, TP at recall 1/2, 1/2, 1; the dog 0; the eel left out
    assert value(metrics, "VOC area mAP") == pytest.approx((1 / 2 + 1 / 2 * 2 / 3) / 2)
    assert value(metrics, "VOC07 mAP") == pytest.approx((6 + 5 * 2 / 3) / 11 / 2)
    # Darknet: HALF is an FP; FP, FP, TP at recall 0, 0, 1/2; dog and eel count as 0
    assert value(metrics, "Darknet: mAP -points 0") == pytest.approx(1 / 2 * 1 / 3 / 3)
    assert value(metrics, "Darknet: mAP -points 11") == pytest.approx(6 / 11 * 1 / 3 / 3)
    assert value(metrics, "Darknet: mAP -points 101") == pytest.approx(51 / 101 * 1 / 3 / 3)
    # without its list FAR on the difficult cat is one more false positive
    assert value(metrics, "Darknet, no list: mAP -points 0") == pytest.approx(1 / 2 * 1 / 4 / 3)
    # above .25: VOC has the TP HALF and the FP FAR on the dog; for Darknet FAR, HALF, FAR are FPs
    assert value(metrics, "precision") == 1 / 2
    assert value(metrics, "recall") == 1 / 3
    assert value(metrics, "F1") == pytest.approx(2 / 5)
    assert value(metrics, "mean IoU of the hits") == pytest.approx(9 / 17)
    assert [value(metrics, f"Darknet: {name}") for name in ("TP", "FP", "FN")] == [0, 3, 3]
    assert value(metrics, "Darknet: average IoU, false as 0") == 0
    # COCO takes an IoU of .5 as a true positive
    assert value(metrics, "COCO AP50") == pytest.approx(((51 * 1 + 50 * 2 / 3) / 101 + 0) / 2, abs=1e-6)
    assert len([row for row in metric_rows(metrics) if row.metric.startswith("COCO ")]) == 12


def test_the_dog_is_detected_as_a_cat(metrics):
    assert metrics.confusion.tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert confusions_line(metrics) == "detected as another class: dog as cat 1"


def test_the_table_shows_every_row_with_its_conventions(metrics):
    rows = metric_rows(metrics)
    lines = conventions_table(rows).splitlines()
    assert [cell.strip() for cell in lines[1].split("|")[1:-1]] == list(HEADINGS)
    assert len(lines) == len(rows) + 4
    voc07 = next(line for line in lines if "VOC07 mAP" in line)
    assert re.search(r"0\.424242 .* 11 tenths.* > 0.5 .* \+ 1 pixel .* left out", voc07)
    assert "sides + 1 pixel; difficult ground truth ignored; scores all" in rows[0].conventions


def test_counts_of_each_class(metrics):
    lines = [" ".join(line.split()) for line in counts_table(metrics).splitlines()]
    assert lines[3].startswith("| cat | 1 | 1 | 1 | 0.5000 | 0.5000 | 0.5000 | 0.5294 |")
    assert lines[5].startswith("| eel | 0 | 0 | 0 | n/a | n/a | n/a | n/a | n/a |")


def test_the_record_holds_all_digits_and_no_nan(metrics):
    record = json.loads(json.dumps(metrics_record(metrics), allow_nan=False))
    assert record["rows"][0]["metric"] == "VOC07 mAP"
    assert record["rows"][0]["value"] == value(metrics, "VOC07 mAP")
    assert record["darknet"]["classes"]["cat"]["AP points 0"] == pytest.approx(1 / 6)
    assert record["counts"]["classes"]["eel"]["precision"] is None
    assert record["coco"]["classes"]["eel"] is None and record["coco"]["AR 100"] is not None
    assert record["confusion"]["rows_truth"] == [*NAMES, "background"]
    assert record["confusion"]["counts"][1] == [1, 0, 0, 0]
    assert record["log_average_miss_rate"]["classes"]["eel"] is None


@pytest.mark.parametrize(
    ("ground_truths", "found", "names"),
    [
        ([], [], ()),
        ([], [], NAMES),
        ([(0, 0, BIG, False)], [], NAMES),
        ([], [(0, 0, 0.9, BIG)], NAMES),
        ([(0, 0, BIG, True)], [(0, 0, 0.9, BIG)], NAMES),
        ([(0, 0, BIG, False)], [(0, 0, 0.9, BIG)], ("cat",)),
    ],
)
def test_what_does_not_exist_is_not_available_and_never_nan(ground_truths, found, names):
    evaluation = evaluation_of(ground_truths, found, names)
    metrics = all_metrics(evaluation, coco_score(evaluation), 0.5, 0.25)
    assert "nan" not in everything_text(metrics).lower()
    json.dumps(metrics_record(metrics), allow_nan=False)
    if not ground_truths:
        assert value(metrics, "VOC07 mAP") is None
        assert value(metrics, "log-average miss rate") is None
