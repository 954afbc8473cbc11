"""The engine `onnxruntime`: ONNX Runtime on the CPU, with as many threads as PyTorch uses."""

import torch

from yolo.engines.cache import cached_onnx
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
        size = shape[2:]
        if size not in sessions:  # one serves all batch sizes
            sessions[size] = open_onnx(cached_onnx(copied, size), torch.get_num_threads())
        return lambda images: run_onnx(sessions[size], images)

    return MapsByShape(make_runner)
