"""yolo.model.heads.yolo: what a head says beyond its shape, with Darknet's defaults, and what it may not say."""

import math

import pytest

from yolo import boxes
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.heads.region import ErrorScales, read_region
from yolo.model.heads.yolo import UNLIMITED, read_gaussian_yolo, read_yolo
from yolo.model.heads.yolov1 import read_yolov1


def section(kind, text=""):
    """A section whose first key stands on line 3."""
    return parse_cfg(f"[net]\n[{kind}]\n{text}", "x.cfg")[1]


def test_a_yolo_has_darknets_defaults():
    found = read_yolo(section("yolo"), 3, "alexeyab")
    assert (found.max_boxes, found.ignore_thresh, found.truth_thresh, found.iou_thresh) == (
        200,
        0.5,
        1,
        1,
    )
    assert found.box_overlap is None and found.iou_thresh_overlap is boxes.paired_iou
    normalizers = (
        found.iou_normalizer,
        found.obj_normalizer,
        found.cls_normalizer,
        found.delta_normalizer,
    )
    assert normalizers == (0.75, 1, 1, 1)
    assert found.max_delta == UNLIMITED == math.inf
    assert (found.label_smooth_eps, found.focal_loss, found.objectness_smooth) == (0, False, False)
    assert found.class_multipliers == ()
    assert (found.jitter, found.resize, found.random) == (0.2, 1, 0)
    assert (found.nms_kind, found.beta_nms) == ("default", 0.6)


@pytest.mark.parametrize(
    ("word", "overlap"),
    [
        ("mse", None),
        ("iou", boxes.paired_iou),
        ("giou", boxes.paired_giou),
        ("diou", boxes.paired_diou),
        ("ciou", boxes.paired_ciou),
    ],
)
def test_iou_loss_names_its_overlap(word, overlap):
    assert read_yolo(section("yolo", f"iou_loss={word}\n"), 3, "alexeyab").box_overlap is overlap


def test_iou_thresh_kind_names_its_overlap():
    found = read_yolo(section("yolo", "iou_thresh_kind=giou\n"), 3, "alexeyab")
    assert found.iou_thresh_overlap is boxes.paired_giou


def test_the_rarest_class_weighs_most_and_at_most_max_delta():
    text = "counters_per_class=10,20,300,40\n"
    assert read_yolo(section("yolo", text), 4, "alexeyab").class_multipliers == (30, 15, 1, 7.5)
    assert read_yolo(section("yolo", text + "max_delta=8\n"), 4, "alexeyab").class_multipliers == (
        8,
        8,
        1,
        7.5,
    )


def test_a_gaussian_yolo_has_one_more_weight_and_one_more_kind_of_nms():
    found = read_gaussian_yolo(section("Gaussian_yolo"), 3, "alexeyab")
    assert (found.uc_normalizer, found.nms_kind, found.max_boxes) == (1, "default", 200)
    text = "uc_normalizer=0.1\nnms_kind=cornersnms\nbeta_nms=0.5\n"
    found = read_gaussian_yolo(section("Gaussian_yolo", text), 3, "alexeyab")
    assert (found.uc_normalizer, found.nms_kind, found.beta_nms) == (0.1, "default", 0.5)
    found = read_gaussian_yolo(section("Gaussian_yolo", "nms_kind=greedynms\n"), 3, "alexeyab")
    assert found.nms_kind == "greedynms"


def test_a_region_has_darknets_defaults():
    found = read_region(section("region"), "alexeyab")
    assert found.scales == ErrorScales(1, 1, 1, 1, rescore=False)
    assert (found.jitter, found.resize, found.random, found.max_boxes) == (0.2, 1, 0, 200)
    assert (found.thresh, found.bias_match, found.classfix) == (0.5, False, 0)
    assert (found.focal_loss, found.class_map) == (False, "")
    assert (found.nms_kind, found.beta_nms) == ("default", 0.6)


def test_a_region_reads_its_keys():
    text = (
        "coord_scale=1\nobject_scale=5\nnoobject_scale=2\nclass_scale=3\nrescore=1\njitter=.3\nresize=1.5\n"
        "random=1\nthresh=.6\nbias_match=1\nclassfix=-1\nfocal_loss=1\nmax=40\nmap=a.map\n"
    )
    found = read_region(section("region", text), "alexeyab")
    assert found.scales == ErrorScales(1, 5, 2, 3, rescore=True)
    assert (found.jitter, found.resize, found.random, found.max_boxes) == (0.3, 1.5, 1, 40)
    assert (found.thresh, found.bias_match, found.classfix) == (0.6, True, -1)
    assert (found.focal_loss, found.class_map) == (True, "a.map")


def test_a_detection_has_darknets_defaults_and_reads_its_keys():
    found = read_yolov1(section("detection"), "alexeyab")
    assert found.scales == ErrorScales(1, 1, 1, 1, rescore=False)
    assert (found.jitter, found.resize, found.random, found.max_boxes) == (0.2, 1, 0, 200)
    assert (found.forced, found.nms_kind, found.beta_nms) == (False, "default", 0.6)
    text = (
        "coord_scale=5\nobject_scale=2\nnoobject_scale=.5\nclass_scale=3\nrescore=1\njitter=.3\nresize=1.5\n"
        "random=1\nforced=1\nmax=40\n"
    )
    found = read_yolov1(section("detection", text), "alexeyab")
    assert found.scales == ErrorScales(5, 2, 0.5, 3, rescore=True)
    assert (found.jitter, found.resize, found.random, found.max_boxes) == (0.3, 1.5, 1, 40)
    assert found.forced


def test_max_has_a_smaller_default_in_pjreddies_darknet():
    # parser.c parse_yolo, parse_region, parse_detection
    assert read_yolo(section("yolo"), 3, "pjreddie").max_boxes == 90
    assert read_region(section("region"), "pjreddie").max_boxes == 30
    assert read_yolov1(section("detection"), "pjreddie").max_boxes == 90
    assert read_yolo(section("yolo", "max=7\n"), 3, "pjreddie").max_boxes == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "iou_loss=eiou\n",
            "x.cfg:3: [yolo] iou_loss: found 'eiou', expected one of mse, iou, giou, diou, ciou",
        ),
        (
            "iou_thresh_kind=mse\n",
            "x.cfg:3: [yolo] iou_thresh_kind: found 'mse', expected one of iou, giou, diou,",
        ),
        (
            "counters_per_class=1,2\n",
            "x.cfg:3: [yolo] counters_per_class: found '1,2', expected 3 counters",
        ),
        (
            "counters_per_class=1,0,2\n",
            "x.cfg:3: [yolo] counters_per_class: found '1,0,2', expected 3 counters",
        ),
        ("max=0\n", "x.cfg:3: [yolo] max: found '0', expected a whole number of at least 1"),
    ],
)
def test_an_error_in_a_head_is_reported(text, message):
    with pytest.raises(CfgError) as caught:
        read_yolo(section("yolo", text), 3, "alexeyab")
    assert str(caught.value).startswith(message)


def test_a_misspelt_nms_kind_is_darknets_default_with_a_warning(caplog):
    assert read_yolo(section("yolo", "nms_kind=greedy_nms\n"), 3, "alexeyab").nms_kind == "default"
    assert caplog.messages == [
        "x.cfg:3: [yolo] nms_kind: found 'greedy_nms', expected one of default, greedynms, diounms; "
        "default is taken, as Darknet does"
    ]
