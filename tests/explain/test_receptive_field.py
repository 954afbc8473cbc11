"""The receptive field against a probe: each pixel is raised alone, and the cells that change are those it reaches."""

import pytest
import torch

from tests.helpers.golden import network_of
from yolo.explain.receptive_field import Span, receptive_field

NET = "[net]\nwidth=20\nheight=16\nchannels=2\n"
CONV = "[convolutional]\nfilters={}\nsize={}\nstride={}\npad={}\nactivation=leaky\n"
RAISED = 1e3  # far above all other values, so that it is the largest of every window

NETWORKS = {
    "convolutions": CONV.format(3, 3, 2, 1) + CONV.format(4, 3, 1, 1),
    "without padding": CONV.format(3, 3, 1, 0) + CONV.format(3, 2, 2, 0),
    "dilated": CONV.format(3, 3, 1, 0)
    + "[convolutional]\nfilters=2\nsize=3\ndilation=2\npadding=2\nactivation=leaky\n",
    "maxpools": CONV.format(3, 3, 1, 1) + "[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=3\nstride=1\n"
    "[maxpool]\nsize=2\nstride=1\n",
    "blurred": CONV.format(3, 3, 2, 1) + "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n"
    "[convolutional]\nfilters=2\nsize=3\nstride=2\npad=1\nantialiasing=2\nactivation=leaky\n",
    "local average": CONV.format(2, 1, 1, 0) + "[local_avgpool]\nsize=3\nstride=2\n",
    "route and upsample": CONV.format(3, 3, 2, 1) + CONV.format(3, 3, 2, 1) + "[upsample]\nstride=2\n"
    "[route]\nlayers=-1,0\n" + CONV.format(2, 3, 1, 1),
    "groups": CONV.format(4, 3, 2, 1) + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n" + CONV.format(2, 1, 1, 0),
    "shortcut": CONV.format(3, 1, 1, 0) + CONV.format(3, 3, 1, 1) + "[shortcut]\nfrom=-2\nactivation=linear\n",
    "sampled shortcut": CONV.format(3, 1, 1, 0) + CONV.format(3, 1, 2, 0) + "[shortcut]\nfrom=-2\nactivation=linear\n",
    "squeeze": CONV.format(3, 3, 2, 1) + "[avgpool]\n" + CONV.format(3, 1, 1, 0)
    + "[scale_channels]\nfrom=-3\nactivation=linear\n",
    "reorg": CONV.format(4, 1, 1, 0) + "[reorg]\nstride=2\n",
    "space to depth": CONV.format(1, 3, 1, 1) + "[reorg3d]\nstride=2\n" + CONV.format(1, 1, 1, 0),
    "depth to space": CONV.format(4, 3, 2, 1) + "[reorg]\nstride=2\nreverse=1\n",
    "connected": CONV.format(2, 3, 2, 1) + "[connected]\noutput=5\nactivation=linear\n",
    "local": CONV.format(2, 3, 2, 1) + "[local]\nfilters=2\nsize=3\nstride=2\nactivation=linear\n",
    "crop": "[crop]\ncrop_width=12\ncrop_height=10\n" + CONV.format(2, 3, 1, 1),
    "downsample": CONV.format(2, 3, 1, 1) + "[upsample]\nstride=-2\n",
}  # fmt: skip


def probed_field(network, cell):
    """The hull of the pixels that change a cell of the last layer when they alone are raised."""
    channels, height, width = network.input.channels, network.input.height, network.input.width
    ground = torch.rand(1, channels, height, width, dtype=torch.float64)
    raised = ground.repeat(height * width, 1, 1, 1)
    rows, columns = torch.arange(height * width) // width, torch.arange(height * width) % width
    raised[torch.arange(height * width), :, rows, columns] += RAISED
    with torch.no_grad():
        before, after = (network(images)[0][..., cell[0], cell[1]] for images in (ground, raised))
    changed = (after != before).any(dim=1)
    rows, columns = rows[changed].tolist(), columns[changed].tolist()
    return Span(min(rows), min(columns), max(rows), max(columns))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_the_hull_of_the_pixels_that_reach_the_cell(name):
    network = network_of(NET + NETWORKS[name]).eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)  # so that no path cancels another
    last = len(network.layers) - 1
    _, height, width = network.shapes[last]
    for cell in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (0, width // 2)}:
        assert receptive_field(network, last, cell) == probed_field(network, cell), cell


def test_a_chain_of_convolutions_has_the_field_computed_by_hand():
    """Each 3x3 convolution adds 2 x the stride before it."""
    text = NET.replace("20", "64").replace("16", "64") + "".join(
        CONV.format(2, 3, stride, 1) for stride in (1, 2, 1, 2, 1)
    )
    # 1 + 2*1 + 2*1 + 2*2 + 2*2 + 2*4 = 21
    assert receptive_field(network_of(text), 4, (8, 8)).size == (21, 21)


def test_a_layer_or_a_cell_that_is_not_there_is_an_error():
    network = network_of(NET + NETWORKS["convolutions"])
    with pytest.raises(ValueError, match="found layer 2, expected 0 to 1"):
        receptive_field(network, 2, (0, 0))
    with pytest.raises(ValueError, match="expected one of 8 rows and 10 columns"):
        receptive_field(network, 1, (8, 0))
