"""The engine `openvino`: OpenVINO on the CPU, with as many threads as PyTorch uses."""

import os
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from yolo.engines.cache import open_cached
from yolo.engines.fold import folded
from yolo.engines.shapes import MapsByShape, Runner, RunnerPool, Shape
from yolo.errors import CfgError
from yolo.extras import import_extra
from yolo.model.network import Network

MOST_STREAMS = 4  # batches that a compiled model computes at the same time; each needs memory for its maps
HINTS = {"float32": "f32", "bf16": "bf16", "fp16": "f16"}
CAPABILITIES = {"float32": "FP32", "bf16": "BF16", "fp16": "FP16"}


@cache
def openvino_core() -> Any:
    """Return the openvino.Core of this process, which is never freed.

    On CPUs with AMX a Core gives the main thread a stack for signals, and frees it with itself but leaves it in use
    (OpenVINO 2026.4): the next signal that Python handles, such as Ctrl-C or the end of a child process, would be a
    crash. Call this before code that makes its own Core, such as NNCF's.
    """
    import openvino  # import_extra was called before, with the feature that needs it

    return openvino.Core()


def openvino_maps(network: Network, precision: str) -> MapsByShape:
    """Return the engine.

    Without a hint, OpenVINO computes in bf16 if the CPU supports it; here float32 means float32.

    Raises:
        CfgError: The CPU has no instructions for the precision.
        MissingPackageError: The package is not installed.
    """
    openvino = import_extra("openvino", "openvino", "--engine openvino")
    copied = folded(network).cpu()
    core = openvino_core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if CAPABILITIES[precision] not in able:
        raise CfgError(f"found precision {precision}, expected one that this CPU computes: {', '.join(able)}")

    @cache
    def compiled_for(shape: Shape, threads: int) -> Any:
        """Its weights, and the time to compile, serve several runners."""
        model = open_cached(copied, shape[2:], core.read_model)
        model.reshape(list(shape))
        return core.compile_model(model, "CPU", openvino_options(precision, threads))

    def make_runner(shape: Shape) -> Runner:
        compiled = compiled_for(shape, torch.get_num_threads())
        request = compiled.create_infer_request()
        shapes = [tuple(output.shape) for output in compiled.outputs]

        def run(images: Tensor) -> list[Tensor]:
            maps = [torch.empty(each) for each in shapes]
            request.set_input_tensor(openvino.Tensor(images.numpy(), shared_memory=True))
            for index, map_ in enumerate(maps):
                request.set_output_tensor(index, openvino.Tensor(map_.numpy(), shared_memory=True))
            request.infer(share_outputs=True)  # otherwise it copies all maps into a result that is not used
            return maps

        return run

    return MapsByShape(lambda shape: RunnerPool(partial(make_runner, shape)))


def openvino_options(precision: str, threads: int) -> dict[str, Any]:
    """Return OpenVINO's options for callers of so many threads each; as many of them as fit compute at once."""
    streams = max(1, min(MOST_STREAMS, (os.cpu_count() or 1) // threads))
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": streams * threads,
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # it would bind callers to cores, several of them to the same ones
    }
