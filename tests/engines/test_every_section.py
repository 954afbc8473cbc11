"""Every kind of section, every activation and their variants: the exported ONNX file computes what torch does."""

import re

import pytest
import torch

from tests.engines.test_onnx_file import Raw
from tests.helpers.golden import network_of
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, run_onnx, write_onnx
from yolo.model.builders import BUILDERS
from yolo.model.layers.activations import ACTIVATIONS

NET = "[net]\nwidth=32\nheight=24\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation={}\n"
LEAKY = CONV.format("leaky")
LAST = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"
HEADLESS = ("yolo", "Gaussian_yolo", "region", "detection")  # tests/deploy exports the heads
NORMED = "[batchnorm]\n"  # keeps the values of a long chain near 1

# the layers of each network, in a chain: 8 channels enter and leave each of them
NETWORKS = {
    "pools": """
[maxpool]
size=2
stride=1
[maxpool]
size=5
stride=1
[maxpool]
size=2
stride=1
antialiasing=1
[local_avgpool]
size=3
stride=1
[convolutional]
filters=8
size=3
pad=1
stride_x=2
stride_y=1
activation=leaky
[maxpool]
maxpool_depth=1
out_channels=8
[local_avgpool]
size=3
stride=2
[maxpool]
size=3
stride=2
""",
    "sizes": """
[reorg3d]
stride=2
[upsample]
stride=2
scale=.5
[reorg]
stride=2
[reorg]
stride=2
reverse=1
[upsample]
stride=-2
[upsample]
stride=3
[upsample]
stride=-3
[convolutional]
filters=8
size=1
activation=linear
""",
    "wiring": f"""
{LEAKY}
[shortcut]
from=-2
weights_type=per_channel
weights_normalization=softmax
activation=leaky
[convolutional]
filters=4
size=1
activation=logistic
[shortcut]
from=-2
activation=linear
[route]
layers=-1,-2
groups=2
group_id=1
[route]
layers=-1,-2,-3
[avgpool]
[convolutional]
filters=8
size=1
activation=logistic
[scale_channels]
from=0
{LEAKY}
[sam]
from=0
""",
    "values": """
[normalization]
size=5
alpha=.5
[lrn]
size=4
alpha=.5
[batchnorm]
[logistic]
[dropout]
probability=.5
[dropout]
dropblock=1
dropblock_size_abs=3
[silence]
[softmax]
spatial=1
[local]
filters=8
size=3
pad=1
activation=leaky
[convolutional]
filters=8
groups=4
size=3
dilation=2
pad=1
activation=mish
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
xnor=1
activation=leaky
[connected]
output=12
batch_normalize=1
activation=relu
[softmax]
groups=3
[cost]
""",
    "crop": """
[crop]
crop_width=20
crop_height=16
""",
    "activations": "".join(f"{NORMED}[activation]\nactivation={name}\n" for name in ACTIVATIONS),
    "activations of convolutions": "".join(NORMED + CONV.format(name) for name in ("normalize_channels", "swish")),
}


def text_of(name):
    if name == "crop":
        return NET + NETWORKS[name] + LEAKY + LAST
    return NET + LEAKY + NETWORKS[name] + ("" if name == "values" else LAST)


def test_every_kind_of_section_is_here():
    kinds = {kind for name in NETWORKS for kind in re.findall(r"^\[(\w+)\]$", text_of(name), re.MULTILINE)}
    built = {BUILDERS[kind] for kind in kinds - {"net"}}
    assert {kind for kind, builder in BUILDERS.items() if builder not in built} == set(HEADLESS)


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_every_kind_of_section_computes_what_torch_does(tmp_path, name, opset):
    torch.manual_seed(0)
    network = folded(network_of(text_of(name)).eval())
    path = tmp_path / "a.onnx"
    write_onnx(Raw(network), torch.rand(2, 3, 24, 32), path, output_names=["map"], opset=opset, dynamic_batch=True)
    images = torch.rand(3, 3, 24, 32)
    (found,) = run_onnx(open_onnx(path, 1), images)
    (expected,) = network(images)
    assert found.shape == expected.shape and expected.std() > 1e-3 * expected.abs().max()
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
