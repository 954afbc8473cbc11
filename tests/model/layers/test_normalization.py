"""yolo.model.layers.normalization and its relatives: cfg text → layer, against compiled Darknet's outputs, loops and
counting.

golden/normalise.npz: pjreddie's Darknet (2018-09-14, CPU build with batch norm's epsilon inside the root) read
CFGS[NAME] and `NAME_weights`, looked at two random images, `NAME_images`, and gave `NAME_output_K`, of layer K; in
training, with another random seed in each row, `crop_training_K`. The memory that its CPU build forgets for
[batchnorm] was given to it. The tree is test_tree's.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import PROJECT
from tests.model.test_class_tree import LINES
from yolo.cfg import parse_cfg
from yolo.errors import CfgError, DatasetError
from yolo.model.building import MAX_STORED_VALUES, BuildContext
from yolo.model.layers import crop, dropout, elementwise, normalization, softmax
from yolo.model.layers.crop import Crop, crop_window
from yolo.model.layers.dropout import DropBlock
from yolo.model.layers.normalization import LocalResponseNorm
from yolo.model.layers.softmax import Softmax, SpatialSoftmax, TreeSoftmax
from yolo.settings import read_input

BUILDERS = {
    "crop": crop.build_crop,
    "batchnorm": normalization.build_batchnorm,
    "lrn": normalization.build_normalization,
    "normalization": normalization.build_normalization,
    "dropout": dropout.build_dropout,
    "softmax": softmax.build_softmax,
    "cost": elementwise.build_cost,
    "empty": elementwise.build_empty,
}
CFGS = {
    "crop": """
[net]
batch=2
height=6
width=9
channels=3

[crop]
crop_height=3
crop_width=4
flip=1
angle=7
saturation=1.5
exposure=1.5
shift=.2

[crop]
crop_height=2
crop_width=3
noadjust=1
""",
    "scales": """
[net]
batch=2
height=3
width=4
channels=7

[batchnorm]

[lrn]
size=5
alpha=.3
beta=.6
kappa=2

[normalization]

[lrn]
size=4
alpha=.2

[lrn]
size=1
alpha=.2

[dropout]
probability=.5

[softmax]
groups=3
temperature=2
""",
    "narrow": """
[net]
batch=2
height=2
width=3
channels=2

[lrn]
size=5
alpha=.3

[lrn]
size=3
alpha=.3
""",
    "tree": """
[net]
batch=2
height=2
width=3
channels=2

[softmax]
tree=small.tree
temperature=.7
""",
}


@pytest.fixture
def folder(tmp_path):
    """A folder with the tree that CFGS["tree"] names."""
    (tmp_path / "small.tree").write_text(LINES)
    return tmp_path


def layers_of(text, path="test.cfg", dialect="pjreddie"):
    """What the builders make of a cfg's sections, each on top of the other."""
    net, *sections = parse_cfg(text, str(path))
    built = []
    for section in sections:
        context = BuildContext(read_input(net, None), dialect, built, 0)
        built.append(BUILDERS[section.kind](section, context))
        assert not section.unread()
    return built


def layer_of(lines, path="test.cfg", dialect="alexeyab"):
    """The layer of one section after a map of 6 channels, 4 x 5."""
    return layers_of(f"[net]\nheight=4\nwidth=5\nchannels=6\n{lines}", path, dialect)[0]


def golden():
    return np.load(PROJECT / "tests" / "golden" / "normalise.npz")


def fill(built, weights):
    """Copy numbers into the layers as pjreddie's files hold them: a [batchnorm] has no biases there."""
    start = 0
    for layer in built:
        for name, tensor in getattr(layer.module, "darknet_tensors", list)():
            if name != "biases":
                end = start + tensor.numel()
                tensor.data.copy_(torch.from_numpy(weights[start:end]).view(tensor.shape))
                start = end
    assert start == len(weights)


@pytest.mark.parametrize("name", CFGS)
def test_every_output_is_compiled_darknets(name, folder):
    recorded = golden()
    built = layers_of(CFGS[name], folder / "test.cfg")
    fill(built, recorded[f"{name}_weights"])
    features = torch.from_numpy(recorded[f"{name}_pictures"])
    for index, layer in enumerate(built):
        features = layer.module.eval()(features)
        expected = torch.from_numpy(recorded[f"{name}_output_{index}"])
        assert layer.sources == (index - 1,) and features.shape == (2, *layer.shape)
        assert torch.allclose(features, expected, rtol=1e-5, atol=1e-6), index


def places(images, size, flips):
    """Every cut of `size`, by place and flip."""
    spare = images.shape[2] - size[0], images.shape[3] - size[1]
    return {
        (top, left, flip): crop_window(images, top, left, size, flip)
        for top, left, flip in np.ndindex(spare[0] + 1, spare[1] + 1, flips)
    }


def test_in_training_darknet_cuts_both_images_at_one_random_place_and_flips_some():
    recorded = golden()
    cuts = places(torch.from_numpy(recorded["crop_pictures"]), (3, 4), flips=2)
    found = []
    for once in torch.from_numpy(recorded["crop_training_0"]):
        same = [key for key, each in cuts.items() if torch.allclose(each * 2 - 1, once, atol=1e-6)]
        assert len(same) == 1
        found += same
    assert {flip for _, _, flip in found} == {0, 1} and len(set(found)) > 4


def test_a_crop_in_training_is_one_of_the_possible_cuts_and_each_comes():
    images = torch.rand(2, 3, 5, 6)
    layer = Crop(size=(4, 5), flip=True).train()
    cuts = places(images, (4, 5), flips=2)
    found = set()
    for _ in range(200):
        once = layer(images)
        found |= {key for key, each in cuts.items() if torch.equal(each * 2 - 1, once)}
    assert found == set(cuts) and len(cuts) == 8


def test_a_crop_without_flip_never_mirrors_and_not_in_evaluation():
    row = torch.arange(5.0).reshape(1, 1, 1, 5)
    straight = Crop(size=(1, 3), flip=False, scale=1.0, shift=0.0).train()
    assert {tuple(straight(row).flatten().tolist()) for _ in range(60)} == {
        (0, 1, 2),
        (1, 2, 3),
        (2, 3, 4),
    }
    middle = Crop(size=(1, 2), flip=True).eval()
    assert {tuple(middle(row).flatten().tolist()) for _ in range(20)} == {(1, 3)}  # pixels 1 and 2


def slow_norms(features, size, alpha, kappa):
    """Darknet's running sum for the values [C] of one pixel, step by step as normalization_layer.c describes it."""
    squares = [value * value for value in features]
    norms = [kappa + alpha * sum(squares[: size // 2])]
    for channel in range(1, len(features)):
        norm = norms[-1]
        gone, come = channel - (size - 1) // 2 - 1, channel + size // 2
        if gone >= 0:
            norm -= alpha * squares[gone]
        if come < len(features):
            norm += alpha * squares[come]
        norms.append(norm)
    return norms


@pytest.mark.parametrize("size", range(1, 14))
def test_local_response_norm_is_darknets_running_sum(size):
    layer = LocalResponseNorm(size=size, alpha=0.02, beta=0.75, kappa=2.0)
    features = torch.randn(2, 6, 3, 4)
    found = layer(features)
    for image, row, column in np.ndindex(2, 3, 4):
        values = features[image, :, row, column].tolist()
        norms = slow_norms(values, size, 0.02, 2.0)
        expected = [value * norm**-0.75 for value, norm in zip(values, norms, strict=True)]
        assert found[image, :, row, column].tolist() == pytest.approx(expected, rel=1e-4)


def test_softmax_adds_up_to_one_in_each_group_of_each_image():
    features = torch.arange(18.0).reshape(3, 6, 1, 1)
    found = Softmax(groups=2, temperature=2.0)(features)
    assert torch.allclose(found.reshape(3, 2, 3).sum(dim=2), torch.ones(3, 2))
    powers = [math.exp(value / 2) for value in (0, 1, 2)]
    expected = [power / sum(powers) for power in powers]
    assert found[0, :3].flatten().tolist() == pytest.approx(expected)


def test_a_spatial_softmax_adds_up_to_one_over_the_channels_of_each_pixel():
    features = torch.randn(2, 6, 4, 5)
    layer = layer_of("[softmax]\nspatial=1\ntemperature=3").module
    assert isinstance(layer, SpatialSoftmax)
    found = layer(features)
    assert torch.allclose(found.sum(dim=1), torch.ones(2, 4, 5))
    powers = [math.exp(value) for value in features[1, :, 2, 3].tolist()]
    expected = [power / sum(powers) for power in powers]
    assert found[1, :, 2, 3].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_tensors_of_a_batch_norm_are_in_alexeyabs_order():
    layer = layer_of("[batchnorm]")
    named = dict(layer.module.darknet_tensors())
    assert list(named) == ["biases", "scales", "rolling mean", "rolling variance"]
    assert named["biases"] is layer.module.norm.bias and named["biases"].shape == (6,)


def test_a_batch_norm_that_makes_the_network_too_large_is_an_error():
    net, section = parse_cfg("[net]\nheight=4\nwidth=5\nchannels=6\n[batchnorm]", "test.cfg")
    context = BuildContext(read_input(net, None), "alexeyab", [], MAX_STORED_VALUES - 23)
    with pytest.raises(CfgError, match=r"test\.cfg:5: \[batchnorm\] channels: found 400,000,001"):
        normalization.build_batchnorm(section, context)


def dropblock(side, probability=0.05, shape=(64, 8, 9, 12)):
    """Random images without a 0, what a dropblock makes of them, and where it put zeros."""
    torch.manual_seed(1)
    layer = DropBlock(probability=probability, pixels=side).train()
    features = torch.rand(shape) + 0.5
    found = layer(features)
    return features, found, found == 0


@pytest.mark.parametrize("side", [1, 3, 9])
def test_a_dropblock_zeroes_one_square_inside_the_map_in_some_channels(side):
    _, _, zeros = dropblock(side)
    hit = zeros.flatten(2).any(dim=2)
    assert hit.any() and (side == 1 or not hit.all())
    for image, channel in hit.nonzero().tolist():
        rows, columns = zeros[image, channel].nonzero().T
        assert len(rows) == side * side
        assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == side - 1


def test_a_dropblock_scales_each_image_by_its_values_over_those_kept():
    features, found, zeros = dropblock(3)
    for image in range(len(features)):
        kept = ~zeros[image]
        scale = kept.numel() / int(kept.sum())
        assert torch.allclose(found[image][kept], features[image][kept] * scale)
    assert len({int(each.sum()) for each in zeros}) > 3  # images differ


def test_a_channel_has_a_block_as_often_as_one_of_its_values_begins_one():
    # 108 values begin a block with probability p / 9 each: one at least with 1 - (1 - p/9)^108
    _, _, zeros = dropblock(3, probability=0.05, shape=(500, 8, 9, 12))
    rate = zeros.flatten(2).any(dim=2).double().mean().item()
    expected = 1 - (1 - 0.05 / 9) ** 108
    assert rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_blocks_start_uniformly_and_are_moved_inside_the_map():
    _, _, zeros = dropblock(1, probability=0.5, shape=(500, 8, 3, 6))
    rates = zeros.double().mean(dim=(0, 1)) * 18
    assert rates.min() > 0.75 and rates.max() < 1.25  # 4000 / 18 in each place, give or take 15
    # 3 rows, 4 columns, side 3: it begins in row 0 always, in column 0 or, of three columns out of four, moved to 1
    _, _, zeros = dropblock(3, probability=0.2, shape=(500, 8, 3, 4))
    hit = zeros.flatten(2).any(dim=2)
    first = zeros[hit][:, 0, 0].double().mean().item()
    assert first == pytest.approx(1 / 4, abs=4 * math.sqrt(3 / 16 / int(hit.sum())))
    # 2 rows, 6 columns, side 2: begun in column 5 it would reach over the end, and begins in 5 - 4 = 1 instead
    _, _, zeros = dropblock(2, probability=0.9, shape=(500, 8, 2, 6))
    hit = zeros.flatten(2).any(dim=2)
    rates = zeros[hit][:, 0].double().mean(dim=0)
    expected = torch.tensor([1, 3, 3, 2, 2, 1]) / 6  # it begins in 0, 1 twice, 2, 3, 4
    assert (rates - expected).abs().max() < 4 * math.sqrt(0.25 / int(hit.sum()))


def test_a_dropblock_does_nothing_in_evaluation_and_at_the_start_of_a_training():
    features = torch.rand(2, 3, 4, 5)
    layer = DropBlock(probability=0.5, pixels=2)
    assert layer.eval()(features) is features
    layer.train()
    assert not torch.equal(layer(features), features)
    layer.progress = 0.0
    assert torch.equal(layer(features), features)


def test_a_dropblocks_side_and_rate_grow_until_85_hundredths_of_the_training():
    layer = DropBlock(probability=0.5, pixels=7)
    sides = []
    for layer.progress in (0.0, 0.425, 0.84, 0.85, 1.0):
        sides.append(layer.side((20, 30)))
    assert sides == [1, 3, 6, 7, 7]  # int(7 * progress / .85)
    assert layer.side((5, 30)) == 5
    assert DropBlock(probability=0.5, fraction=0.2).side((20, 30)) == 4  # the smaller of 4 and 6
    assert DropBlock(probability=0.5, fraction=0.01).side((20, 30)) == 1
    layer.progress, layer.pixels = 0.17, 1
    half = layer.train()(torch.ones(100, 8, 1, 1)) == 0
    assert half.double().mean().item() == pytest.approx(0.5 * 0.2, abs=0.05)


def test_a_dropblock_that_drops_everything_returns_zeros():
    layer = DropBlock(probability=0.999999, pixels=1).train()
    assert torch.equal(layer(torch.ones(2, 1, 1, 1)), torch.zeros(2, 1, 1, 1))


@pytest.mark.parametrize(
    ("lines", "fraction", "pixels"),
    [
        ("", 0.0, 7),
        ("dropblock_size_abs=3", 0.0, 3),
        ("dropblock_size_rel=.25", 0.25, 0),
        ("dropblock_size_rel=.25\ndropblock_size_abs=2", 0.0, 2),
    ],
)
def test_pixels_have_priority_over_the_fraction_of_a_dropblocks_size(lines, fraction, pixels):
    layer = layer_of(f"[dropout]\ndropblock=1\nprobability=.1\n{lines}").module
    assert isinstance(layer, DropBlock) and layer.p == 0.1
    assert (layer.fraction, layer.pixels) == (fraction, pixels)


def test_a_dropouts_default_is_each_darknets_own():
    for dialect, probability in (("alexeyab", 0.2), ("pjreddie", 0.5)):
        layer = layer_of("[dropout]\ndropblock_size_abs=3", dialect=dialect)
        assert isinstance(layer.module, nn.Dropout) and layer.module.p == probability
        assert layer.shape == (6, 4, 5) and layer.sources == (-1,)


@pytest.mark.parametrize(
    "section",
    ["[empty]", "[cost]", "[cost]\ntype=smooth\nscale=2\nratio=.1\nnoobj=.5\nthresh=.1"],
)
def test_cost_and_empty_return_their_input(section):
    layer = layer_of(section)
    features = torch.rand(2, 6, 4, 5)
    assert layer.module(features) is features and layer.shape == (6, 4, 5)


def test_a_tree_is_found_beside_the_cfg_and_has_priority_over_spatial(folder):
    text = "[net]\nheight=2\nwidth=3\nchannels=2\n[softmax]\ntree=small.tree\nspatial=1\nnoloss=1"
    layer = layers_of(text, folder / "a.cfg")[0].module
    assert isinstance(layer, TreeSoftmax) and layer.temperature == 1
    assert layer.tree.names[0] == "animal"


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        (
            "[crop]\ncrop_height=5",
            6,
            "crop_height: found '5', expected at most the 4 pixels of the previous layer",
        ),
        (
            "[crop]\ncrop_width=6",
            6,
            "crop_width: found '6', expected at most the 5 pixels of the previous layer",
        ),
        ("[crop]\ncrop_width=0", 6, "crop_width: found '0', expected a whole number of at least 1"),
        ("[crop]\nangle=x", 6, "angle: found 'x', expected a number"),
        ("[lrn]\nsize=0", 6, "size: found '0', expected a whole number of at least 1"),
        ("[lrn]\nsize=14", 6, "size: found '14', expected at most 13, for 6 channels"),
        (
            "[softmax]\ngroups=7",
            6,
            "groups: found '7', expected a divisor of the 120 values of the previous layer",
        ),
        ("[softmax]\ntemperature=0", 6, "temperature: found '0', expected a number above 0"),
        ("[softmax]\ntree=none.tree", 6, "tree: found no file 'none.tree', expected a file"),
        ("[softmax]\ntree=small.tree", 6, "tree: found 12 classes in small.tree, expected 120"),
        ("[dropout]\nprobability=1", 6, "probability: found '1', expected a number below 1"),
        ("[dropout]\nprobability=-.1", 6, "found '-.1', expected a number of at least 0"),
        (
            "[dropout]\ndropblock_size_abs=-1",
            6,
            "found '-1', expected a whole number of at least 0",
        ),
        ("[cost]\ntype=SSE", 6, "type: found 'SSE', expected one of sse, masked"),
    ],
)
def test_a_section_that_cannot_be_built_is_named_with_its_line(folder, section, line, message):
    with pytest.raises(CfgError) as caught:
        layer_of(section, folder / "test.cfg")
    kind = section.split("\n")[0]
    assert str(caught.value).startswith(f"{folder / 'test.cfg'}:{line}: {kind} ")
    assert message in str(caught.value)


def test_an_error_in_a_tree_names_the_line_of_the_tree(folder):
    (folder / "bad.tree").write_text("a -1\nb 3\n")
    with pytest.raises(DatasetError, match=r"bad\.tree:2: found parent 3"):
        layer_of("[softmax]\ntree=bad.tree", folder / "test.cfg")


def test_a_map_smaller_than_the_crop_is_a_value_error():
    with pytest.raises(ValueError, match=r"found a map of shape \[1, 3, 2, 9\], expected at least \(3, 4\) pixels"):
        Crop(size=(3, 4), flip=False)(torch.zeros(1, 3, 2, 9))
