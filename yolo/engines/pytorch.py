"""The engine `torch`: PyTorch's own kernels on a folded copy of the network, without a compiler.

Maps are stored channels last, which oneDNN's convolutions read without reordering, and activations overwrite the map
of their convolution. After TRACED_AFTER batches of a shape, or when asked, PyTorch runs the recorded calls (torch.jit)
in place of Python, with the same kernels and results. docs/log.md has the gain of each.
"""

import warnings
from collections import Counter
from threading import Lock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.engines.fold import folded
from yolo.engines.precision import DTYPES
from yolo.engines.shapes import RECORDING, Engine, Shape
from yolo.model.layers.convolution import Convolutional, SharedConvolutional
from yolo.model.network import Network

IN_PLACE = (nn.LeakyReLU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Mish, nn.ELU, nn.SELU, nn.Hardtanh)
# batches: recording takes up to a second; this number of batches saves as much when several threads run Python
TRACED_AFTER = 100
# pixels of a map, about 100x100: above, oneDNN is the faster one for nearly all numbers of channels (4 to 256 measured)
MANY_PIXELS = 10_000


class TorchMaps:
    """`maps(images)` computes the raw maps of a network with PyTorch, in several threads at the same time if wanted.

    Args:
        network: Not changed; later changes of it have no effect here.
        precision: "float32", "bf16" or "fp16"; all layers compute in it, the maps are float32.
    """

    def __init__(self, network: Network, precision: str = "float32") -> None:
        self.network = prepared_network(network, precision)
        self.dtype = DTYPES[precision]
        self.device = next(self.network.parameters(), torch.empty(0)).device
        onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # which users may switch off
        if self.device.type == "cpu" and self.dtype == torch.float32 and onednn:
            _use_pointwise_convolutions(self.network)
        self._batches: Counter[Shape] = Counter()
        self._traced: dict[Shape, Engine] = {}
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]` → float32 raw maps, as `Network.forward` gives them, on the network's device."""
        images = images.to(self.device, self.dtype, memory_format=torch.channels_last)
        return [raw.float() for raw in self._forward(images)(images)]

    def recorded(self, images: Tensor) -> list[Tensor]:
        """Compute a batch as a call does, and on a CPU record its shape now, because recording delays a batch."""
        shape = tuple(images.shape)
        with self._lock:
            self._batches[shape] = max(self._batches[shape], TRACED_AFTER - 1)
        return self(images)

    def _forward(self, images: Tensor) -> Engine:
        shape = tuple(images.shape)
        with self._lock:
            self._batches[shape] += 1
            due = self._batches[shape] == TRACED_AFTER and self.device.type == "cpu"
        if due:  # in this thread only; others continue with Python
            self._traced[shape] = _traced(self.network, images)
        return self._traced.get(shape, self.network)


class PointwiseConvolution(nn.Module):
    """A 1x1 convolution without groups, computed by oneDNN where the map has many pixels.

    PyTorch takes a product of matrices for it if there is one thread (ATen Convolution.cpp use_mkldnn). That copies the
    bias to every pixel first, which takes longer than the product itself if there are few channels. With several
    threads PyTorch takes oneDNN too.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, 1

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        if height * width > MANY_PIXELS:
            return torch.mkldnn_convolution(
                features, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
            )
        return F.conv2d(features, self.weight, self.bias, self.stride, self.padding, self.dilation)


def _use_pointwise_convolutions(network: Network) -> None:
    """Replace the 1x1 convolutions of a network."""
    for layer in network.modules():
        if isinstance(layer, Convolutional) and layer.conv.kernel_size == (1, 1) and layer.conv.groups == 1:
            layer.conv = PointwiseConvolution(layer.conv)


def prepared_network(network: Network, precision: str) -> Network:
    """Return a folded copy with weights channels last, in a precision, whose activations work in place."""
    copied = folded(network).to(DTYPES[precision], memory_format=torch.channels_last)
    for layer in copied.modules():
        # no other layer reads the output of a convolution before the activation
        if isinstance(layer, Convolutional | SharedConvolutional) and isinstance(layer.activation, IN_PLACE):
            layer.activation.inplace = True
    return copied


def _traced(network: Network, images: Tensor) -> Engine:
    """Return a callable that computes `network(images)` for images of this shape without Python."""
    with RECORDING, warnings.catch_warnings():
        # torch.jit is deprecated for torch.export, whose graphs run without Python only after a compiler; and the
        # sizes that Python reads while recording are constants on purpose
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, images, check_trace=False, strict=False)  # not strict: it returns a list
