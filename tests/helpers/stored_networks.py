"""Networks with every kind of layer that stores numbers, and their .weights files written by hand."""

import struct
from pathlib import Path

import numpy as np

from yolo.model.network import Network

ALEXEYAB, PJREDDIE = "alexeyab", "pjreddie"
HEADERS = {ALEXEYAB: struct.pack("<3iQ", 0, 2, 5, 640), PJREDDIE: struct.pack("<3iQ", 0, 2, 0, 640)}

# Layers of both Darknets.
BOTH_CFG = """[net]
width=10
height=8
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=leaky
[batchnorm]
[convolutional]
filters=3
size=3
stride=2
pad=1
binary=1
activation=leaky
[local]
filters=2
size=2
stride=1
pad=0
activation=leaky
[batchnorm]
[connected]
output=6
batch_normalize=1
activation=leaky
[connected]
output=5
activation=linear
"""
# The same and layers of AlexeyAB's only: learned factors of shortcuts, shared parameters.
ALL_CFG = (
    BOTH_CFG.replace("[local]", "[shortcut]\nfrom=-1\nweights_type=per_feature\n[local]").replace(
        "[batchnorm]\n[convolutional]",
        "[shortcut]\nfrom=-1\nweights_type=per_channel\n[convolutional]\nfilters=4\nsize=3\npad=1\n"
        "xnor=1\nbatch_normalize=1\n[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\n"
        "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nshare_index=-1\n"
        "[batchnorm]\n[convolutional]",
    )
)  # fmt: skip

NORM = ("scales", "rolling mean", "rolling variance")
# Layer, kind, tensors with their numbers: by hand, in AlexeyAB's order. A 10 x 8 image is 5 x 4 from the second
# convolution on, [local] has 4 x 3 windows of 2 x 2 x 3 values, [connected] sees 2 x 4 x 3 values.
BOTH_LAYERS = (
    (0, "convolutional", (("biases", 4), *((name, 4) for name in NORM), ("weights", 4 * 3 * 9))),
    (1, "batchnorm", (("biases", 4), *((name, 4) for name in NORM))),
    (2, "convolutional", (("biases", 3), ("weights", 3 * 4 * 9))),
    (3, "local", (("biases", 2 * 12), ("weights", 12 * 2 * 12))),
    (4, "batchnorm", (("biases", 2), *((name, 2) for name in NORM))),
    (5, "connected", (("biases", 6), ("weights", 6 * 24), *((name, 6) for name in NORM))),
    (6, "connected", (("biases", 5), ("weights", 5 * 6))),
)
CONVOLUTION_4 = (("biases", 4), *((name, 4) for name in NORM), ("weights", 4 * 4 * 9))
ALL_LAYERS = (
    BOTH_LAYERS[0],
    (1, "shortcut", (("weights", 2 * 4),)),
    (2, "convolutional", CONVOLUTION_4),
    (3, "convolutional", CONVOLUTION_4),
    (5, *BOTH_LAYERS[1][1:]),  # 4 shares the parameters of 3 and stores nothing
    (6, *BOTH_LAYERS[2][1:]),
    (7, "shortcut", (("weights", 2),)),
    (8, *BOTH_LAYERS[3][1:]),
    (9, *BOTH_LAYERS[4][1:]),
    (10, *BOTH_LAYERS[5][1:]),
    (11, *BOTH_LAYERS[6][1:]),
)


def tensors_of(layers, order: str) -> list[tuple[int, str, str, int]]:
    """(layer, kind, name, numbers) of each tensor of a file; pjreddie's have no biases of [batchnorm]."""
    return [
        (layer, kind, name, count)
        for layer, kind, tensors in layers
        for name, count in tensors
        if (order, kind, name) != (PJREDDIE, "batchnorm", "biases")
    ]


def ramp(count: int) -> np.ndarray:
    """Return numbers that are all different and not 0, exact in float32."""
    return (np.arange(count) / 8 + 0.125).astype("<f4")


def file_bytes(layers, order: str, header: bytes | None = None) -> bytes:
    """Return the bytes of a file of ramp numbers."""
    count = sum(count for *_, count in tensors_of(layers, order))
    return (HEADERS[order] if header is None else header) + ramp(count).tobytes()


def write(path: Path, layers, order: str, header: bytes | None = None) -> Path:
    """Write the same to `path`."""
    path.write_bytes(file_bytes(layers, order, header))
    return path


def state(network: Network) -> dict:
    """Return the bytes of every parameter and buffer, to compare them bit by bit."""
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
