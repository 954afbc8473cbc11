"""Write a module as an ONNX file, open it in ONNX Runtime, run it, and read its metadata.

The exporter is torch's older one, which traces TorchScript: it writes the requested opset. The newer one
(`dynamo=True`) replaces every opset below 18 by 18.
"""

import copy
import inspect
import io
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.engines.shapes import RECORDING
from yolo.errors import ExportError, WeightsError
from yolo.extras import import_extra
from yolo.files.writing import replacing
from yolo.model.layers.pooling import LocalAveragePool, MaxPool

OLDEST_OPSET, NEWEST_OPSET = 12, 18  # OpenCV 4.5 and TensorRT 7 read 12; torch's older exporter writes at most 20
DEFAULT_OPSET = 13
INPUT_NAME = "images"
SESSION_ERRORS = (
    "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NotImplemented", "RuntimeException",
)  # fmt: skip
BATCH_AXIS = "batch"  # name of a dynamic batch size in the file


def write_onnx(
    module: nn.Module,
    images: Tensor,
    path: str | Path,
    *,
    output_names: Sequence[str],
    input_name: str = INPUT_NAME,
    opset: int = DEFAULT_OPSET,
    dynamic_batch: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a module as an ONNX file, completely or not at all.

    The size of the images is fixed in the file. [maxpool] becomes one MaxPool, also with uneven padding.

    Args:
        module: In evaluation mode; it takes images and returns a tensor or a tuple of tensors. It is not changed.
        images: `[B, C, H, W]`, traced. With a dynamic batch, B should not be 1, so that no rule for 1 is recorded.
        path: The file.
        output_names: One for each output of the module.
        input_name: Name of the input.
        opset: OLDEST_OPSET to NEWEST_OPSET.
        dynamic_batch: Whether the first axis of the input and of all outputs may have any length.
        metadata: Texts that are stored in the file by name.

    Raises:
        ExportError: The network has an operation that the exporter does not support.
        MissingPackageError: The package onnx is not installed.
        OSError: The file cannot be written.
        ValueError: An opset out of range.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ValueError(f"found opset {opset}, expected {OLDEST_OPSET} to {NEWEST_OPSET}")
    onnx = import_extra("onnx", "export", "writing an ONNX file")
    names = {"input_names": [input_name], "output_names": list(output_names)}
    axes = {name: {0: BATCH_AXIS} for name in (input_name, *output_names)} if dynamic_batch else None
    try:
        content = _traced(module, images, opset, **names, dynamic_axes=axes)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).splitlines()[0]
        raise ExportError(f"{path}: found a network that ONNX opset {opset} cannot express: {reason}") from error
    model = onnx.load_model_from_string(content)
    model.producer_name = "yolo-darknet"
    for node in model.graph.node:
        node.doc_string = ""  # stack traces with the paths of this machine
    onnx.helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    with replacing(path) as file:
        file.write(model.SerializeToString())


def _traced(module: nn.Module, images: Tensor, opset: int, **names_and_axes: Any) -> bytes:
    """Return the content of an ONNX file as PyTorch's exporter writes it, the one that traces."""
    file = io.BytesIO()
    with RECORDING, warnings.catch_warnings(), torch.no_grad():
        # the exporter is deprecated; and the sizes that Python reads while tracing are constants on purpose
        warnings.simplefilter("ignore")
        pools = with_exportable_pools(module)
        torch.onnx.export(pools, (images,), file, opset_version=opset, **names_and_axes, **_older_exporter())
    return file.getvalue()


def open_onnx(path: str | Path, threads: int = 0) -> Any:
    """Return an onnxruntime.InferenceSession on the CPU. threads: how many; 0 lets ONNX Runtime choose.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        OSError: The file cannot be read.
        WeightsError: It is no ONNX file that ONNX Runtime can run.
    """
    onnxruntime = import_extra("onnxruntime", "export", "running an ONNX file")
    with open(path, "rb"):  # for the system's own error
        pass
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        cpu = ["CPUExecutionProvider"]  # without a fallback, which would try the same again and print the error
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=cpu, enable_fallback=0)
    except (*_session_errors(), UnicodeDecodeError) as error:  # the second for the text of an error in a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: found no model that ONNX Runtime can run: {reason}") from error


def run_onnx(session: Any, images: Tensor) -> list[Tensor]:
    """Run a session on images `[B, C, H, W]` on the CPU; return all outputs in the order of the file.

    Raises RuntimeError: ONNX Runtime cannot compute it, such as for a lack of memory. Its own exceptions are not
    RuntimeErrors.
    """
    (entry,) = session.get_inputs()
    try:
        outputs = session.run(None, {entry.name: images.numpy()})
    except _session_errors() as error:
        raise RuntimeError(str(error)) from error
    return [torch.from_numpy(np.ascontiguousarray(each)) for each in outputs]


def onnx_metadata(session: Any) -> dict[str, str]:
    """Return the metadata of the file of a session of `open_onnx`."""
    return dict(session.get_modelmeta().custom_metadata_map)


class _PooledOnce(torch.autograd.Function):
    """Max pooling whose padding differs between the sides: one MaxPool in ONNX, where F.pad adds a Pad of -inf."""

    @staticmethod
    def forward(ctx, features: Tensor, size: int, stride: tuple[int, int], sides: tuple[int, int, int, int]) -> Tensor:
        return F.max_pool2d(F.pad(features, sides, value=-math.inf), size, stride)

    @staticmethod
    def symbolic(g, features, size: int, stride: tuple[int, int], sides: tuple[int, int, int, int]):
        left, right, top, bottom = sides
        pads = [top, left, bottom, right]
        return g.op("MaxPool", features, kernel_shape_i=[size, size], strides_i=list(stride), pads_i=pads)


class ExportablePool(nn.Module):
    """A MaxPool that is one MaxPool in ONNX. Same output."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        sides = self.pool.sides((int(features.shape[-2]), int(features.shape[-1])))
        return _PooledOnce.apply(features, self.pool.size, self.pool.stride, sides)


def with_exportable_pools(module: nn.Module) -> nn.Module:
    """Return a copy of a module with the same parameters and buffers, and an ExportablePool for each MaxPool."""
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    copied = copy.deepcopy(module, tensors)
    if isinstance(copied, MaxPool):
        return ExportablePool(copied)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            # the window of a LocalAveragePool only holds its size
            if isinstance(child, MaxPool) and not isinstance(parent, (ExportablePool, LocalAveragePool)):
                setattr(parent, name, ExportablePool(child))
    return copied


def _session_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of ONNX Runtime, which have no common base class."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    return tuple(getattr(state, name) for name in SESSION_ERRORS)


def _older_exporter() -> dict[str, bool]:
    """Return the option that chooses the older exporter; torch has it since the newer one (2.5)."""
    return {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
