"""yolo.settings: what a cfg says beyond its graph, with Darknet's defaults, and what it may not say."""

from dataclasses import replace

import pytest

from yolo import boxes
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.heads.yolo import read_yolo, with_iou_loss
from yolo.model.network import build
from yolo.settings import LayerControls, read_controls, read_input, read_training


def section(text=""):
    """A [net] whose first key stands on line 2."""
    return parse_cfg(f"[net]\n{text}", "x.cfg")[0]


def test_training_has_darknets_defaults():
    found = read_training(section())
    assert (found.batch, found.subdivisions, found.max_batches) == (1, 1, 0)
    assert (found.momentum, found.decay) == (0.9, 0.0001)
    assert (found.color.hue, found.color.saturation, found.color.exposure) == (0, 1, 1)
    assert (found.flip, found.resize_step) == (True, 32)
    rate = found.schedule
    assert (rate.learning_rate, rate.policy, rate.burn_in, rate.power) == (0.001, "constant", 0, 4)
    assert (rate.learning_rate_min, rate.sgdr_cycle, rate.sgdr_mult) == (1e-5, 0, 2)


def test_training_reads_the_keys_of_net():
    found = read_training(
        section(
            "batch=64\nsubdivisions=16\nmax_batches=500200\nmomentum=0.95\ndecay=0.0005\nhue=.1\nsaturation = 1.5\n"
            "exposure=1.4\nflip=0\nresize_step=64\npolicy=steps\nsteps=400000,450000\nscales=.1,.2\nburn_in=1000\n",
        )
    )
    assert (found.batch, found.subdivisions, found.max_batches) == (64, 16, 500200)
    assert (found.momentum, found.decay, found.flip, found.resize_step) == (0.95, 0.0005, False, 64)
    assert (found.color.hue, found.color.saturation, found.color.exposure) == (0.1, 1.5, 1.4)
    assert (found.schedule.steps, found.schedule.scales) == ((400000, 450000), (0.1, 0.2))
    assert (found.schedule.max_batches, found.schedule.burn_in) == (500200, 1000)


def test_subdivisions_are_at_most_the_batch():
    found = read_training(section("batch=1\nsubdivisions=16\n"))
    assert (found.batch, found.subdivisions) == (1, 1)


@pytest.mark.parametrize(("word", "overlap"), [("mse", None), ("ciou", boxes.paired_ciou)])
def test_with_iou_loss_changes_only_the_overlap(word, overlap):
    head = parse_cfg("[net]\n[yolo]\niou_loss=giou\n", "x.cfg")[1]
    settings = read_yolo(head, 3, "alexeyab")
    assert with_iou_loss([settings], word) == (replace(settings, box_overlap=overlap),)
    assert with_iou_loss([settings], None) == (settings,)


def test_input_reads_size_and_channels_and_may_be_overridden():
    net = section("width=96\nheight=64\nchannels=1\nletter_box=1\n")
    found = read_input(net, None)
    assert (found.height, found.width, found.channels, found.letter_box) == (64, 96, 1, True)
    found = read_input(net, (32, 48))
    assert (found.height, found.width) == (32, 48)
    assert read_input(section("width=8\nheight=8\n"), None).channels == 3


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
def test_an_error_in_a_training_key_is_reported(text, message):
    with pytest.raises(CfgError) as caught:
        read_training(section(text))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["height=8\n", "width=0\nheight=8\n"])
def test_a_network_without_a_size_is_an_error(text):
    with pytest.raises(CfgError, match=r"\[net\] width: found .*, expected a size of at least 1 pixel"):
        read_input(section(text), None)


def test_controls_change_nothing_by_default_and_are_read_from_any_section():
    maxpool = parse_cfg("[net]\n[maxpool]\nsize=2\n", "x.cfg")[1]
    assert read_controls(maxpool) == LayerControls(1.0, 0, 0, 0, False, False, False, False)
    full = parse_cfg(
        "[net]\n[maxpool]\nlearning_rate=.25\nstopbackward=800\ndont_update=3\nburnin_update=2\ntrain_only_bn=1\n"
        "onlyforward=1\ndontload=1\ndontloadscales=1\n",
        "x.cfg",
    )[1]
    assert read_controls(full) == LayerControls(0.25, 800, 3, 2, True, True, True, True)
    assert full.unread() == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stopbackward=-1", "stopbackward: found '-1', expected a whole number of at least 0"),
        ("dont_update=soon", "dont_update: found 'soon', expected a whole number; Darknet reads 0"),
        ("learning_rate=-1", "learning_rate: found '-1', expected a number of at least 0"),
        ("dontload=yes", "dontload: found 'yes', expected a whole number; Darknet reads 0"),
    ],
)
def test_an_error_in_a_layer_control_is_reported(line, message):
    with pytest.raises(CfgError) as caught:
        read_controls(parse_cfg(f"[net]\n[route]\n{line}\n", "x.cfg")[1])
    assert str(caught.value) == f"x.cfg:3: [route] {message}"


@pytest.mark.parametrize("change", ["width=1000000", "[maxpool]\nstride=1000000", "[maxpool]\nstride=2\nsize=1000000"])
def test_sizes_that_no_machine_can_compute_are_refused_before_anything_is_computed(change):
    text = "[net]\nwidth=64\nheight=64\n[convolutional]\nfilters=2\n[maxpool]\nstride=2\n"
    section, _, line = change.rpartition("\n") if "\n" in change else ("[net]", "", change)
    text = text.replace("width=64", change) if section == "[net]" else text.replace("[maxpool]\nstride=2", change)
    with pytest.raises(CfgError, match="found .*, expected at most|expected at most .* values"):
        build(parse_cfg(text, "x.cfg"))
