"""yolo.support.explained_cfg: every layer once, states of keys, repeated layers counted; numbers by hand.

Formulas of activations are compared with the layers that compute them.
"""

import math
import re
import time

import pytest
import torch

from yolo.model.layers.activations import ACTIVATIONS
from yolo.support import explained_cfg
from yolo.support.explained_cfg import explain_cfg
from yolo.support.meanings import ACTIVATION_FORMULAS, MEANINGS, NEEDS

NET = "[net]\nwidth=16\nheight=8\nchannels=4\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
BLOCK = CONV + "[shortcut]\nfrom=-2\n"


@pytest.fixture
def explained(tmp_path):
    """The explanation of a cfg's text, as one text."""

    def explain(text, width=100):
        path = tmp_path / "some.cfg"
        path.write_text(text)
        return "\n".join(explain_cfg(path, width))

    return explain


def line_of(text, start):
    (found,) = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
    return re.sub(" +", " ", found)


@pytest.mark.parametrize("more", ["unknown{0}=1", "groups=1", "groups={0}"], ids=["unknown", "repeated", "other"])
def test_a_section_of_10000_keys_takes_time_in_proportion(explained, monkeypatch, more):
    """Processor time: 0.5 s at most; with a search in all keys for each key it was over 10 s."""
    searched = []
    monkeypatch.setattr(explained_cfg, "get_close_matches", lambda key, *_, **how: searched.append(key) or ["known"])
    before = time.process_time()
    lines = explained(NET + CONV + "groups=1\n" + "".join(f"{more}\n".format(number) for number in range(2, 10_002)))
    assert time.process_time() - before < 6
    unknown = [line for line in lines.splitlines() if "nothing reads it" in line]
    assert len(unknown) == (10_000 if more.startswith("unknown") else 0)
    assert searched == [f"unknown{number}" for number in range(2, 1002)][: len(unknown)]
    assert [line.endswith("(unknown: nothing reads it) did you mean known?") for line in unknown[998:1002]] == [
        True, True, False, False,
    ][: len(unknown)]  # fmt: skip


def test_a_convolution_in_numbers(explained):
    text = explained(NET + CONV.replace("size=3", "size=3\nstride=2\nbatch_normalize=1"))
    # by hand: 16x8 in steps of 2 are 8x4; 3*3*4 = 36 products; 2 * 36 * 4 filters * 32 places operations: not shown
    assert "layer 0 [convolutional], lines 5 to 11: 16 x 8 x 4 -> 8 x 4 x 4\n" in text
    words = " ".join(text.split())
    assert "a sum of 3 x 3 x 4 = 36 products over the channels; 4 filters x 36 = 144 weights and 4 x 4 numbers" in words
    assert "with 160 stored numbers and 0.000 BFLOPs" in words


def test_each_key_shows_whether_it_has_an_effect(explained):
    training = "policy=steps\nsteps=10\nscales=.1\ngamma=.5\nmax_chart_los=3\nmax_epochs=7\nchannels=3\nmomentum=.90\n"
    text = explained(NET + training + CONV + "padding=5\nstride=1\ngroups=2\n")
    assert line_of(text, "gamma=.5") == "gamma=.5 (ignored: needs policy=exp or sigmoid) base (exp), slope (sigmoid)"
    assert line_of(text, "max_chart_los=3").endswith("(unknown: nothing reads it) did you mean max_chart_loss?")
    assert line_of(text, "max_epochs=7").endswith("(ignored here) Darknet reads it: not read by Darknet either")
    assert line_of(text, "channels=3").endswith("(ignored: line 4 has the key already)")
    assert line_of(text, "momentum=.90") == "momentum=.90 (default) of SGD"
    assert line_of(text, "padding=5").endswith("(ignored: needs pad=0) zeros on each side")
    assert line_of(text, "stride=1").endswith("(default) pixels from one window to the next")
    assert line_of(text, "groups=2").startswith("groups=2 groups of channels, as in nn.Conv2d")
    assert line_of(text, "activation=leaky") == "activation=leaky x if x > 0 else 0.1 * x"
    useless = " ".join(text.split()).partition("Keys without effect: ")[2]
    assert [re.search(rf"\b{key} \(line {line}\)", useless) is not None for key, line in (
        ("gamma=.5", 8), ("max_chart_los=3", 9), ("max_epochs=7", 10), ("channels=3", 11), ("padding=5", 18),
    )] == [True] * 5  # fmt: skip
    assert "momentum" not in useless and "groups" not in useless


def test_a_later_section_shows_how_it_differs_and_explains_only_what_is_new(explained):
    later = "[convolutional]\nfilters=6\nsize=3\nbatch_normalize=1\nactivation=linear\n"
    text = explained(NET + CONV + later)
    words = " ".join(text.partition("layer 1 ")[2].split())
    assert "Keys as in layer 0, but filters=6, batch_normalize=1, activation=linear, no pad." in words
    assert "batch_normalize=1 1: batch norm (epsilon 1e-5, momentum .01) and no bias" in words
    assert "activation=linear x" in words and "number of output channels" not in words


def test_repeated_blocks_are_counted(explained):
    text = explained(NET + CONV + BLOCK * 4 + CONV)
    # layers 0, 1 and 2 in full; 3..8 are 1..2 again; 9 is as 7, one layer, so it is explained in full
    assert re.search(r"^layers 3 to 8, lines 17 to 37: layers 1 to 2, 3 more times; 444 stored", text, re.MULTILINE)
    assert "\nlayer 9 [convolutional], lines 38 to 42:" in text


@pytest.mark.parametrize(
    "pattern", ["yolov4-tiny.cfg", "yolov2.cfg", "darknet19.cfg", pytest.param("*.cfg", marks=pytest.mark.slow)]
)
def test_every_layer_of_a_shipped_cfg_is_named_once(project, pattern):
    for path in sorted((project / "cfg").glob(pattern)):
        lines = explain_cfg(path, 100)
        explained_layers = []
        for line in lines:
            if found := re.match(r"layers? (\d+)(?: to (\d+))?[ ,]", line):
                explained_layers += range(int(found[1]), int(found[2] or found[1]) + 1)
        sections = re.findall(r"^\[", path.read_text(), re.MULTILINE)
        assert explained_layers == list(range(len(sections) - 1)), path
        assert max(map(len, lines)) <= 100, path
        assert len(lines) < 700, path


def test_the_width_is_kept(explained):
    text = explained(NET + CONV, 60)
    assert max(map(len, text.splitlines())) <= 60


def test_heads_are_explained_in_cells_anchors_and_boxes(explained):
    head = "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=2\nnum=2\n"
    words = " ".join(explained(NET + head).split())
    assert "16 x 8 cells of 1 x 1 pixels, each with 2 anchors (1 x 2, 3 x 4 pixels): 256 boxes." in words
    assert "2 x (5 + 2 classes) = 14 values a cell; 5 = x, y, w, h and objectness." in words


def test_training_is_explained_in_steps_and_rates(explained):
    rates = "policy=steps\nsteps=100,150\nscales=.1,.1\nlearning_rate=.01\nburn_in=20\n"
    text = explained(NET + "batch=8\nsubdivisions=2\nmax_batches=200\n" + rates + CONV)
    words = " ".join(text.split())
    assert "One step of training is 8 images, in 2 mini-batches of 4; 200 steps are 1,600 images." in words
    assert (
        "is 0.01 after a warmup of 20 steps, as (step / 20)^4, then 0.001 from step 100, 0.0001 from step 150." in words
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_formula_of_an_activation_is_what_the_layer_computes(name):
    channels = torch.tensor([-6.3, -4.0, -2.5, -1.1, -0.3, 0.2, 0.9, 1.7, 3.4, 5.2, 6.8])
    computed = ACTIVATIONS[name]()(channels[None, :, None, None]).flatten().tolist()
    c = channels.tolist()
    names = {each: getattr(math, each) for each in ("exp", "log", "tanh", "floor")}
    for x, expected in zip(c, computed, strict=True):
        assert eval(ACTIVATION_FORMULAS[name], {**names, "x": x, "c": c}) == pytest.approx(expected, abs=2e-4)


def test_needs_are_of_keys_that_exist():
    for (kind, key), needs in NEEDS.items():
        assert {key, *needs} <= set(MEANINGS[kind]), (kind, key)
