"""The engine `onnxruntime`: ONNX Runtime on the CPU, with as many threads as PyTorch uses."""

from functools import cache, partial
from typing import Any

import torch

from yolo.engines.cache import open_cached
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, run_onnx
from yolo.engines.shapes import MapsByShape, Runner, RunnerPool
from yolo.extras import import_extra
from yolo.model.network import Network


def onnxruntime_maps(network: Network) -> MapsByShape:
    """Return the engine, which computes in float32. Raises MissingPackageError: the package is not installed."""
    import_extra("onnxruntime", "export", "--engine onnxruntime")
    copied = folded(network).cpu()

    @cache
    def session_of(size: tuple[int, int], threads: int) -> Any:
        """One serves all batch sizes, and several threads at the same time."""
        return open_cached(copied, size, partial(open_onnx, threads=threads))

    def make_runner(size: tuple[int, int]) -> Runner:
        return partial(run_onnx, session_of(size, torch.get_num_threads()))

    return MapsByShape(lambda shape: RunnerPool(partial(make_runner, shape[2:])))
