"""The engine `torch`: PyTorch's own kernels on a folded copy of the network, without a compiler.

Maps are stored channels last, which oneDNN's convolutions read without reordering, and activations overwrite the map
of their convolution. docs/log.md has the gain of each over all recorded networks.
"""

import torch
from torch import Tensor, nn

from yolo.engines.fold import folded
from yolo.engines.precision import DTYPES
from yolo.model.layers.convolution import Convolutional, SharedConvolutional
from yolo.model.network import Network

IN_PLACE = (nn.LeakyReLU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Mish, nn.ELU, nn.SELU, nn.Hardtanh)


class TorchMaps:
    """`maps(images)` computes the raw maps of a network with PyTorch.

    Args:
        network: Not changed; later changes of it have no effect here.
        precision: "float32", "bf16" or "fp16"; all layers compute in it, the maps are float32.
    """

    def __init__(self, network: Network, precision: str = "float32") -> None:
        self.network = prepared_network(network, precision)
        self.dtype = DTYPES[precision]
        self.device = next(self.network.parameters(), torch.empty(0)).device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]` → float32 raw maps, as `Network.forward` gives them, on the network's device."""
        images = images.to(self.device, self.dtype, memory_format=torch.channels_last)
        return [raw.float() for raw in self.network(images)]


def prepared_network(network: Network, precision: str) -> Network:
    """Return a folded copy with weights channels last, in a precision, whose activations work in place."""
    copied = folded(network).to(DTYPES[precision], memory_format=torch.channels_last)
    for layer in copied.modules():
        # the output of a convolution is a map of its own, which nothing else reads before the activation
        if isinstance(layer, Convolutional | SharedConvolutional) and isinstance(layer.activation, IN_PLACE):
            layer.activation.inplace = True
    return copied
