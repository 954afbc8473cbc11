"""Build the engine of a name for a network."""

from functools import partial

import torch
from torch import Tensor

from yolo.defaults import AUTO, ENGINES
from yolo.engines.fold import folded
from yolo.engines.precision import DTYPES, check_precision
from yolo.engines.shapes import Engine
from yolo.errors import CfgError
from yolo.model.network import Network


def build_engine(network: Network, engine: str, precision: str = "float32") -> Engine:
    """Return a callable that computes the raw maps of a network. The network is not changed; it works on a copy.

    Args:
        network: In any mode, on any device.
        engine: One of yolo.defaults.ENGINES, or AUTO. The library of an engine is imported here, not before.
        precision: One of yolo.defaults.PRECISIONS.

    Raises:
        CfgError: The engine is unknown, or it cannot compute in the precision or on the network's device.
        MissingPackageError: A package is not installed.
    """
    device = next(network.parameters(), torch.empty(0)).device.type
    if engine == AUTO:
        check_precision("torch", precision)  # which accepts every network
        if device != "cpu":  # the others compute on the CPU
            return build_engine(network, "torch", precision)
        from yolo.engines.choose import FastestMaps

        return FastestMaps(network, precision, partial(build_engine, folded(network), precision=precision))
    if engine not in ENGINES:
        raise CfgError(f"found engine {engine!r}, expected one of {', '.join((*ENGINES, AUTO))}")
    check_precision(engine, precision)
    if device == "cuda" and (engine, precision) != ("torch", "float32"):
        from yolo.engines.cuda import gpu_forward

        forward = gpu_forward(network, DTYPES[precision], engine == "compile")
        return partial(_float_maps, forward, next(network.parameters()).device)
    if engine == "torch":
        from yolo.engines.pytorch import TorchMaps

        return TorchMaps(network, precision)
    if engine == "compile":
        from yolo.engines.compiled import compiled_maps

        return compiled_maps(network, precision)
    if device != "cpu":
        raise CfgError(f"found engine {engine} and a network on {device}, expected torch or compile: it needs the CPU")
    if engine == "onnxruntime":
        from yolo.engines.onnx_runtime import onnxruntime_maps

        return onnxruntime_maps(network)
    if engine == "openvino":
        from yolo.engines.open_vino import openvino_maps

        return openvino_maps(network, precision)
    from yolo.engines.open_cv import opencv_maps

    return opencv_maps(network)


def _float_maps(forward: Engine, device: torch.device, images: Tensor) -> list[Tensor]:
    """Return float32 copies of the maps of a forward pass on a GPU, whose own memory the next pass overwrites."""
    return [raw.to(torch.float32, copy=True) for raw in forward(images.to(device))]
