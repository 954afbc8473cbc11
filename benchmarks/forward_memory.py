"""Peak memory of a forward pass of a network built from a cfg, against the same network written by hand.

Both, YOLOv4, are checked to be the same network first. Each number is one pass under torch.inference_mode in a fresh
process, on the same images for both, after a first pass on a tiny one. Two measures, bound 1.2 for each:

  tensors   the most bytes that the storages made in the pass take at once, for every allocator; the internal memory of
            an operator does not count
  process   how far resident memory rises above what it was before the pass, medians of several processes (Linux: the
            peak is set back through /proc/self/clear_refs and read as VmHWM)

Ours may be lower: a Python call holds its arguments until it returns, `Network` holds a map until its last reader ran.

example:
  python benchmarks/forward_memory.py
"""

import argparse
import logging
import multiprocessing
import re
import statistics
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from plain_yolov4 import PlainYolov4, check
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from yolo.console.option_types import whole_number
from yolo.console.run import run
from yolo.model.network import Network

CFG = Path(__file__).parent.parent / "cfg" / "yolov4.cfg"
INPUTS = ((1, 608), (4, 416))  # images, pixels of a side
WARM_UP = (1, 64)
BOUND = 1.2
RESET_PEAK = "5"  # proc(5): clear_refs
KIBIBYTE, MEBIBYTE = 2**10, 2**20
SIDES = ("ours", "plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--runs", type=whole_number(1), default=3, metavar="N", help="processes; default 3")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # the cfg's unread keys, at every run
    check(Network.from_cfg(CFG), PlainYolov4())
    for images, pixels in INPUTS:
        print(f"yolov4, {images} x 3 x {pixels} x {pixels}")
        counted = [apart(tensor_peak, side, images, pixels) for side in SIDES]
        report("tensors", *counted)
        risen = [[apart(process_peak, side, images, pixels) for side in SIDES] for _ in range(args.runs)]
        report("process", *(statistics.median(side) for side in zip(*risen, strict=True)))


def report(measure: str, ours: float, plain: float) -> None:
    sizes = f"ours {ours / MEBIBYTE:7.1f} MiB, plain {plain / MEBIBYTE:7.1f} MiB"
    print(f"  {measure}: {sizes}: ratio {ours / plain:.3f} (bound {BOUND})")


def apart(measure: Callable[[str, int, int], int], side: str, images: int, pixels: int) -> int:
    """Return the result of `measure` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (side, images, pixels))


def tensor_peak(side: str, images: int, pixels: int) -> int:
    """Bytes of all storages made in the pass that lived at once, at most."""
    network, inputs = prepare(side, images, pixels)
    with torch.inference_mode(), StorageCount() as count:
        network(inputs)
    return count.most


def process_peak(side: str, images: int, pixels: int) -> int:
    """Bytes by which the resident memory of this process rose in the pass, at most."""
    network, inputs = prepare(side, images, pixels)
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = memory("VmRSS")
    with torch.inference_mode():
        network(inputs)
    return memory("VmHWM") - before


def prepare(side: str, images: int, pixels: int) -> tuple[nn.Module, Tensor]:
    """The network after its first pass, which loads and caches what any pass needs, and the images."""
    logging.disable(logging.WARNING)
    network = (Network.from_cfg(CFG) if side == "ours" else PlainYolov4()).eval()
    with torch.inference_mode():
        network(torch.rand(WARM_UP[0], 3, WARM_UP[1], WARM_UP[1]))
    torch.manual_seed(0)
    return network, torch.rand(images, 3, pixels, pixels)


def memory(name: str) -> int:
    """Bytes of VmRSS (resident now) or VmHWM (most ever) of this process."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) * KIBIBYTE


class StorageCount(TorchDispatchMode):
    """Bytes of the living storages that operators have made while it was on; `most`: the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        given = {key_of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and key_of(leaf) not in given | self.held.keys():
                storage = leaf.untyped_storage()
                self.held[key_of(leaf)] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, key_of(leaf))
        self.most = max(self.most, sum(self.held.values()))
        return result


def key_of(tensor: Tensor) -> int:
    """A key of a tensor's storage, unique among the existing ones."""
    return tensor.untyped_storage()._cdata


if __name__ == "__main__":
    run(main)
