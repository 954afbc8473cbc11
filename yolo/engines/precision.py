"""Precisions in which a network computes, and the engines that support each."""

import torch

from yolo.defaults import INT8, PRECISIONS
from yolo.errors import CfgError

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# ONNX Runtime and OpenCV have no kernels of half precision for convolutions on CPUs: they convert to float32 and back.
ENGINE_PRECISIONS = {
    "torch": ("float32", "bf16", "fp16"),
    "compile": ("float32", "bf16", "fp16"),
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bf16", "fp16"),
    "opencv": ("float32",),
}


def check_precision(engine: str, precision: str) -> None:
    """Raise CfgError unless an engine computes in a precision, named as in yolo.defaults.PRECISIONS."""
    if precision not in PRECISIONS:
        raise CfgError(f"found precision {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == INT8:
        raise CfgError("found precision int8, expected an engine of yolo.quantize.int8_engine.calibrated_engine")
    if precision not in ENGINE_PRECISIONS[engine]:
        expected = " or ".join(ENGINE_PRECISIONS[engine])
        raise CfgError(f"found precision {precision} with engine {engine}, expected {expected}")
