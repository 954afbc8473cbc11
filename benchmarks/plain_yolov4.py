"""YOLOv4 written by hand in plain PyTorch, without a cfg: the peer for measurements.

The graph of cfg/yolov4.cfg for 80 classes, as a user would write it without this project: modules of torch.nn, local
variables in `forward`, torch's own initialization. Modules are made in the order of the cfg, so that numbers can be
copied over layer by layer.
"""

import torch
from torch import Tensor, nn

from yolo.model.network import Network

RAW_CHANNELS = 3 * (5 + 80)  # anchors of a head x (box, objectness, classes)
TOLERANCE = 1e-4  # of a raw map's largest value
CHECK_SIZE = 256  # pixels: a coarsest grid of 8x8, on which the three pools differ


class Conv(nn.Module):
    """Convolution, batch norm, activation."""

    def __init__(self, inputs: int, outputs: int, size: int, activation: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


def mish(inputs: int, outputs: int, size: int, stride: int = 1) -> Conv:
    return Conv(inputs, outputs, size, nn.Mish(), stride)


def leaky(inputs: int, outputs: int, size: int, stride: int = 1) -> Conv:
    return Conv(inputs, outputs, size, nn.LeakyReLU(0.1), stride)


class Residual(nn.Module):
    """A map and what two convolutions add to it."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = mish(channels, hidden, 1)
        self.second = mish(hidden, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Stage(nn.Module):
    """Half the size, then `blocks` residual blocks on one part of the channels, the other part beside them."""

    def __init__(self, inputs: int, outputs: int, part: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.down = mish(inputs, outputs, 3, stride=2)
        self.beside = mish(outputs, part, 1)
        self.enter = mish(outputs, part, 1)
        self.blocks = nn.Sequential(*(Residual(part, hidden) for _ in range(blocks)))
        self.leave = mish(part, part, 1)
        self.join = mish(2 * part, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        beside = self.beside(x)
        x = self.leave(self.blocks(self.enter(x)))
        return self.join(torch.cat((x, beside), dim=1))


class PyramidPool(nn.Module):
    """Each place with the largest values around it, in three sizes (SPP)."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (13, 9, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(pool(x) for pool in self.pools), x], dim=1)


def three(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        leaky(inputs, channels, 1),
        leaky(channels, 2 * channels, 3),
        leaky(2 * channels, channels, 1),
    )


def five(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*three(inputs, channels), leaky(channels, 2 * channels, 3), leaky(2 * channels, channels, 1))


def head(channels: int) -> nn.Sequential:
    return nn.Sequential(leaky(channels, 2 * channels, 3), nn.Conv2d(2 * channels, RAW_CHANNELS, 1))


class PlainYolov4(nn.Module):
    """Images `[B, 3, H, W]` → three raw maps `[B, 255, h, w]` of stride 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = mish(3, 32, 3)
        self.stage1 = Stage(32, 64, part=64, hidden=32, blocks=1)
        self.stage2 = Stage(64, 128, part=64, hidden=64, blocks=2)
        self.stage3 = Stage(128, 256, part=128, hidden=128, blocks=8)
        self.stage4 = Stage(256, 512, part=256, hidden=256, blocks=8)
        self.stage5 = Stage(512, 1024, part=512, hidden=512, blocks=4)
        self.pyramid = nn.Sequential(three(1024, 512), PyramidPool(), three(2048, 512))
        self.upsample = nn.Upsample(scale_factor=2)
        self.up4 = leaky(512, 256, 1)
        self.side4 = leaky(512, 256, 1)
        self.top_down4 = five(512, 256)
        self.up3 = leaky(256, 128, 1)
        self.side3 = leaky(256, 128, 1)
        self.top_down3 = five(256, 128)
        self.head3 = head(128)
        self.down3 = leaky(128, 256, 3, stride=2)
        self.bottom_up4 = five(512, 256)
        self.head4 = head(256)
        self.down4 = leaky(256, 512, 3, stride=2)
        self.bottom_up5 = five(1024, 512)
        self.head5 = head(512)

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage3(self.stage2(self.stage1(self.stem(x))))
        c4 = self.stage4(c3)
        p5 = self.pyramid(self.stage5(c4))
        p4 = torch.cat((self.side4(c4), self.upsample(self.up4(p5))), dim=1)
        p4 = self.top_down4(p4)
        p3 = torch.cat((self.side3(c3), self.upsample(self.up3(p4))), dim=1)
        p3 = self.top_down3(p3)
        n4 = self.bottom_up4(torch.cat((self.down3(p3), p4), dim=1))
        n5 = self.bottom_up5(torch.cat((self.down4(n4), p5), dim=1))
        return [self.head3(p3), self.head4(n4), self.head5(n5)]


def check(network: Network, plain: PlainYolov4) -> None:
    """Raise ValueError unless both have as many parameters and, with the same numbers, give the same raw maps."""
    ours, theirs = (sum(p.numel() for p in module.parameters()) for module in (network, plain))
    if ours != theirs:
        raise ValueError(f"found {ours:,} parameters, {theirs:,} in the plain network")
    spread_norms(network)
    copy_numbers(network, plain)
    images = torch.rand(1, 3, CHECK_SIZE, CHECK_SIZE)
    with torch.inference_mode():
        pairs = zip(network.eval()(images), plain.eval()(images), strict=True)
        for mine, other in pairs:
            difference = float((mine - other).abs().max() / other.abs().max())
            if not difference <= TOLERANCE:
                raise ValueError(f"found raw maps {difference:.1e} apart, expected {TOLERANCE}")


def spread_norms(network: nn.Module) -> None:
    """Give each batch norm different numbers, so that swapped ones are detected."""
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.5)
                norm.running_var.uniform_(0.4, 1)
                norm.bias.uniform_(-1, 1)
                norm.running_mean.uniform_(-1, 1)


def copy_numbers(network: Network, plain: PlainYolov4) -> None:
    """Fill `plain` with the network's numbers, tensor by tensor in the order of a .weights file."""
    stored = [
        tensor for layer in network.layers if hasattr(layer, "darknet_tensors") for _, tensor in layer.darknet_tensors()
    ]
    with torch.no_grad():
        for target, tensor in zip(file_order(plain), stored, strict=True):
            if target.shape != tensor.shape:
                raise ValueError(f"found {list(tensor.shape)} for {list(target.shape)}")
            target.copy_(tensor)


def file_order(plain: PlainYolov4) -> list[Tensor]:
    """The tensors of the plain network in the order of a .weights file."""
    tensors: list[Tensor] = []
    for module in plain.modules():
        if isinstance(module, Conv):
            norm = module.norm
            tensors += [norm.bias, norm.weight, norm.running_mean, norm.running_var]
            tensors += [module.conv.weight]
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            tensors += [module.bias, module.weight]
    return tensors
