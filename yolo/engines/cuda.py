"""Inference on a GPU: a copy of the network in 16 or 32 bits, channels last, optionally compiled, in CUDA graphs."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from yolo.engines.fold import folded
from yolo.model.layers.convolution import Convolutional
from yolo.model.network import Network

Forward = Callable[[Tensor], list[Tensor]]  # images [B, C, H, W] → raw maps

WARM_UP = 3  # calls before a capture: cuDNN chooses its algorithms, torch.compile compiles, the allocator fills
MOST_GRAPHS = 8  # shapes that are kept, each with the memory of its maps


def gpu_forward(network: Network, dtype: torch.dtype, compiled: bool = False) -> Forward:
    """Return the fastest forward pass of a network on its device, which on a GPU runs in CUDA graphs.

    Args:
        network: with its final weights; it is copied and not changed.
        dtype: of weights and maps: torch.float32, torch.bfloat16 or torch.float16.
        compiled: see `FoldedForward`.
    """
    forward = FoldedForward(network, dtype, compiled)
    on_gpu = next(network.parameters()).device.type == "cuda"
    return CudaGraphs(forward) if on_gpu else forward


class FoldedForward:
    """The forward pass of a copy of a network: batch norm folded, channels last, activations in place.

    Args:
        network: with its final weights, on the device of the images; it is copied and not changed.
        dtype: of weights and maps.
        compiled: use torch.compile for each shape of images, which takes 10 to 60 seconds. Bias, activation and
            shortcut then become one pass over a map.
        compiler_options: of torch.compile, such as {"max_autotune": True}.
    """

    def __init__(
        self,
        network: Network,
        dtype: torch.dtype,
        compiled: bool = False,
        compiler_options: Mapping[str, bool] | None = None,
    ) -> None:
        copy = folded(network)
        for layer in copy.modules():
            if isinstance(layer, Convolutional) and hasattr(layer.activation, "inplace"):
                layer.activation.inplace = True  # no other layer reads the output of the convolution
        copy.to(dtype=dtype, memory_format=torch.channels_last)
        self.dtype = dtype
        self._call = torch.compile(copy, dynamic=False, options=compiler_options) if compiled else copy

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the raw maps, in `dtype`, of images `[B, C, H, W]` of any floating dtype, 0..1."""
        return self._call(images.to(self.dtype, memory_format=torch.channels_last))


class CudaGraphs:
    """A function of images as CUDA graphs: the first call with a shape captures it, later calls replay it.

    A replay starts all kernels at once. Without it, Python starts them one by one, which takes longer than the kernels
    if the images are few. The results are in memory that the next call with the same shape overwrites.

    Args:
        forward: starts work on the current GPU, and neither waits for it nor copies from the CPU.
        most: number of shapes that are kept; the one that was not used for longest is dropped.
    """

    def __init__(self, forward: Forward, most: int = MOST_GRAPHS) -> None:
        self.forward = forward
        self.most = most
        self._graphs: OrderedDict[tuple[int, ...], _Graph] = OrderedDict()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the result of `forward` for images `[B, C, H, W]` on the GPU, valid until the next such call."""
        shape = tuple(images.shape)
        if shape not in self._graphs:
            while len(self._graphs) >= self.most:
                self._graphs.popitem(last=False)
            self._graphs[shape] = _capture(self.forward, images)
        self._graphs.move_to_end(shape)
        captured = self._graphs[shape]
        captured.images.copy_(images)
        captured.graph.replay()
        return captured.results


class _Graph(NamedTuple):
    """A captured graph, the images that it reads and the results that it writes."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    results: list[Tensor]


def _capture(forward: Forward, images: Tensor) -> _Graph:
    # not in inference mode: torch.compile would compile once more for its tensors
    with torch.inference_mode(False), torch.no_grad(), fastest_convolutions(images.device):
        static = torch.empty(images.shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
        static.copy_(images)
        stream, current = torch.cuda.Stream(images.device), torch.cuda.current_stream(images.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                forward(static)
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads may continue, such as the one of a loader that pins memory
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = forward(static)
    return _Graph(graph, static, results)


@contextmanager
def fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN measure its algorithms once for each new shape, unless deterministic algorithms are on."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = before or (device.type == "cuda" and not cudnn.deterministic)
    try:
        yield
    finally:
        cudnn.benchmark = before
