"""yolo.settings: what a cfg says beyond its graph, with Darknet's defaults, and what it may not say."""

import math

import pytest

from yolo import boxes
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.settings import UNLIMITED, read_head, read_input, read_training, with_iou_loss


def section(kind, text=""):
    """A section of this kind; the text's first line is line 2 (of [net]) or 3."""
    if kind == "net":
        return parse_cfg(f"[net]\n{text}", "x.cfg")[0]
    return parse_cfg(f"[net]\n[{kind}]\n{text}", "x.cfg")[1]


def test_training_has_darknets_defaults():
    found = read_training(section("net"))
    assert (found.batch, found.subdivisions, found.max_batches) == (1, 1, 0)
    assert (found.momentum, found.decay) == (0.9, 0.0001)
    assert (found.colour.hue, found.colour.saturation, found.colour.exposure) == (0, 1, 1)
    assert (found.flip, found.resize_step) == (True, 32)
    rate = found.schedule
    assert (rate.learning_rate, rate.policy, rate.burn_in, rate.power) == (0.001, "constant", 0, 4)
    assert (rate.learning_rate_min, rate.sgdr_cycle, rate.sgdr_mult) == (1e-5, 0, 2)


def test_training_reads_what_net_says():
    found = read_training(
        section(
            "net",
            "batch=64\nsubdivisions=16\nmax_batches=500200\nmomentum=0.95\ndecay=0.0005\nhue=.1\nsaturation = 1.5\n"
            "exposure=1.4\nflip=0\nresize_step=64\npolicy=steps\nsteps=400000,450000\nscales=.1,.2\nburn_in=1000\n",
        )
    )
    assert (found.batch, found.subdivisions, found.max_batches) == (64, 16, 500200)
    assert (found.momentum, found.decay, found.flip, found.resize_step) == (0.95, 0.0005, False, 64)
    assert (found.colour.hue, found.colour.saturation, found.colour.exposure) == (0.1, 1.5, 1.4)
    assert (found.schedule.steps, found.schedule.scales) == ((400000, 450000), (0.1, 0.2))
    assert (found.schedule.max_batches, found.schedule.burn_in) == (500200, 1000)


def test_more_subdivisions_than_pictures_are_as_many_as_pictures():
    found = read_training(section("net", "batch=1\nsubdivisions=16\n"))
    assert (found.batch, found.subdivisions) == (1, 1)


def test_head_has_darknets_defaults():
    found = read_head(section("yolo"), 3)
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
    assert read_head(section("yolo", f"iou_loss={word}\n"), 3).box_overlap is overlap
    assert with_iou_loss(read_head(section("yolo"), 3), word).box_overlap is overlap


def test_iou_thresh_kind_names_its_overlap():
    found = read_head(section("yolo", "iou_thresh_kind=giou\n"), 3)
    assert found.iou_thresh_overlap is boxes.paired_giou


def test_the_rarest_class_weighs_most_and_at_most_max_delta():
    text = "counters_per_class=10,20,300,40\n"
    assert read_head(section("yolo", text), 4).class_multipliers == (30, 15, 1, 7.5)
    assert read_head(section("yolo", text + "max_delta=8\n"), 4).class_multipliers == (8, 8, 1, 7.5)


def test_input_reads_size_and_channels_and_may_be_overridden():
    net = section("net", "width=96\nheight=64\nchannels=1\nletter_box=1\n")
    found = read_input(net, None)
    assert (found.height, found.width, found.channels, found.letter_box) == (64, 96, 1, True)
    found = read_input(net, (32, 48))
    assert (found.height, found.width) == (32, 48)
    assert read_input(section("net", "width=8\nheight=8\n"), None).channels == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch=0\n", "x.cfg:2: [net] batch: found '0', expected a whole number of at least 1"),
        (
            "policy=cosine\n",
            "x.cfg:2: [net] policy: found 'cosine', expected one of constant, step, steps, exp",
        ),
        (
            "policy=steps\n",
            "x.cfg:1: [net] steps: found nothing, expected as many steps as scales, at least one",
        ),
        (
            "policy=steps\nsteps=1,2\nscales=.1\n",
            "x.cfg:3: [net] steps: found '1,2', expected as many steps as scales",
        ),
        (
            "policy=poly\n",
            "x.cfg:1: [net] max_batches: found nothing, expected at least 1 with policy=poly",
        ),
        (
            "policy=sgdr\n",
            "x.cfg:1: [net] max_batches: found nothing, expected at least 1 with policy=sgdr",
        ),
        ("momentum=much\n", "x.cfg:2: [net] momentum: found 'much', expected a number"),
    ],
)
def test_a_mistake_about_training_is_named(text, message):
    with pytest.raises(CfgError) as caught:
        read_training(section("net", text))
    assert str(caught.value).startswith(message)


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
            "nms_kind=soft\n",
            "x.cfg:3: [yolo] nms_kind: found 'soft', expected one of default, greedynms, diounms",
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
def test_a_mistake_about_a_head_is_named(text, message):
    with pytest.raises(CfgError) as caught:
        read_head(section("yolo", text), 3)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["height=8\n", "width=0\nheight=8\n"])
def test_a_network_without_a_size_is_an_error(text):
    with pytest.raises(
        CfgError, match=r"\[net\] width: found .*, expected a size of at least 1 pixel"
    ):
        read_input(section("net", text), None)
