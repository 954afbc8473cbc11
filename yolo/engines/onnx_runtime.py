"""The engine `onnxruntime`: ONNX Runtime on the CPU, with as many threads as PyTorch uses."""

from functools import partial

import torch

from yolo.engines.cache import open_cached
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, run_onnx
from yolo.engines.shapes import MapsByShape, Runner, Shape
from yolo.extras import import_extra
from yolo.model.network import Network


def onnxruntime_maps(network: Network) -> MapsByShape:
    """Return the engine, which computes in float32. Raises MissingPackageError: the package is not installed."""
    import_extra("onnxruntime", "export", "--engine onnxruntime")
    copied = folded(network).cpu()
    sessions = {}

    def make_runner(shape: Shape) -> Runner:
        key = (shape[2:], torch.get_num_threads())
        if key not in sessions:  # one serves all batch sizes, and several threads at the same time
            sessions[key] = open_cached(copied, shape[2:], partial(open_onnx, threads=torch.get_num_threads()))
        return partial(run_onnx, sessions[key])

    return MapsByShape(make_runner, per_thread=True)
