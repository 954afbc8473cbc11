"""The engine `compile`: torch.compile on a folded copy of the network, with the weights as constants ("freezing")."""

import logging
import shutil
import time

import torch
from torch import Tensor

from yolo.engines.precision import DTYPES
from yolo.engines.pytorch import prepared_network
from yolo.engines.shapes import MapsByShape, Runner, Shape
from yolo.errors import MissingPackageError
from yolo.model.network import Network

log = logging.getLogger(__name__)
COMPILERS = ("g++", "clang++", "c++", "cl")


def compiled_maps(network: Network, precision: str) -> MapsByShape:
    """Return the engine. The first batch of each shape waits for the compiler; a line is logged before.

    Raises:
        MissingPackageError: there is no C++ compiler, which torch.compile needs on CPUs.
    """
    device = next(network.parameters(), torch.empty(0)).device
    if device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
        raise MissingPackageError(
            f"--engine compile needs a C++ compiler, one of {', '.join(COMPILERS)}: apt install g++"
        )
    prepared = prepared_network(network, precision)
    return MapsByShape(lambda shape: _runner(prepared, shape, DTYPES[precision], device), pads=True)


def _runner(network: Network, shape: Shape, dtype: torch.dtype, device: torch.device) -> Runner:
    torch._dynamo.reset()  # else each further shape counts as a recompilation, of which only a few are allowed
    compiled = torch.compile(network, dynamic=False, fullgraph=True, options={"freezing": True})

    def run(images: Tensor) -> list[Tensor]:
        images = images.to(device, dtype, memory_format=torch.channels_last)
        return [raw.float() for raw in compiled(images)]

    log.info("compiling the network for images of %s, about 20 seconds to a minute ...", "x".join(map(str, shape)))
    begun = time.perf_counter()
    run(torch.zeros(shape))
    log.info("compiled in %.1f s", time.perf_counter() - begun)
    return run
