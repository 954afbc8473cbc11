"""Measure the time of one image for several files of one network, in turn, in the installed runtimes."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolo.deploy.file_kinds import ONNX
from yolo.engines.choose import interleaved_seconds
from yolo.engines.onnx_file import open_onnx, run_onnx
from yolo.engines.open_vino import openvino_core
from yolo.extras import import_extra

ONNX_RUNTIME, OPENVINO_RUNTIME = "ONNX Runtime", "OpenVINO"
LEAST_ROUNDS, MOST_ROUNDS, SECONDS = 5, 30, 2.0


def milliseconds_of(paths: Sequence[Path], images: Tensor) -> dict[str, list[float]]:
    """Return for each runtime the median milliseconds of each file. Both use as many threads as PyTorch.

    OpenVINO computes in float32 what is not quantized; its own default would be bf16.

    Args:
        paths: Files of one kind: ONNX (both runtimes run it) or OpenVINO IR.
        images: `[B, C, H, W]`, with the files' batch size.
    """
    openers: dict[str, Callable[[Path, Tensor], Callable[[], object]]] = {}
    if paths[0].suffix == ONNX:
        openers[ONNX_RUNTIME] = _onnx_call
    if find_spec("openvino") is not None:
        openers[OPENVINO_RUNTIME] = _openvino_call
    times = {}
    for runtime, opener in openers.items():
        calls = {str(index): opener(path, images) for index, path in enumerate(paths)}
        for call in calls.values():
            call()  # allocates
        seconds = interleaved_seconds(calls, LEAST_ROUNDS, MOST_ROUNDS, SECONDS)
        times[runtime] = [1000 * statistics.median(seconds[name]) for name in calls]
    return times


def _onnx_call(path: Path, images: Tensor) -> Callable[[], object]:
    return partial(run_onnx, open_onnx(path, torch.get_num_threads()), images)


def _openvino_call(path: Path, images: Tensor) -> Callable[[], object]:
    import_extra("openvino", "openvino", "measuring with OpenVINO")
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino_core().compile_model(path, "CPU", options).create_infer_request()
    return partial(request.infer, [np.ascontiguousarray(images.numpy())])
