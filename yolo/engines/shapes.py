"""Pools of runners, made when they are first needed: one for each shape of images, one for each simultaneous call."""

from collections import defaultdict
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor

Engine = Callable[[Tensor], list[Tensor]]  # images [B, C, H, W] → float32 raw maps, as Network.forward gives them
Shape = tuple[int, ...]
Runner = Callable[[Tensor], list[Tensor]]  # float32 [B, C, H, W], contiguous, on the CPU → raw maps

RECORDING = Lock()  # held while torch records calls, for ONNX or torch.jit: its state is that of the whole process


class MapsByShape:
    """`maps(images)` computes the raw maps by the runner of the images' shape.

    Args:
        make_runner: Returns the runner for `(B, C, H, W)`, which several threads may call at the same time.
        pads: Images of a batch that is smaller than one which has a runner are computed together with blank images,
            if at least half of that batch is used, since making a runner takes long.
    """

    def __init__(self, make_runner: Callable[[Shape], Runner], pads: bool = False) -> None:
        self._make_runner = make_runner
        self._pads = pads
        self._runners: dict[Shape, Runner] = {}
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]` → float32 raw maps on the CPU, as `Network.forward` gives them."""
        images = images.float().cpu().contiguous()
        shape = tuple(images.shape)
        with self._lock:
            wanted = self._usable_shape(shape)
            if wanted not in self._runners:
                self._runners[wanted] = self._make_runner(wanted)
        if wanted == shape:
            return self._runners[shape](images)
        images = torch.cat((images, images.new_zeros(wanted[0] - shape[0], *shape[1:])))
        return [raw[: shape[0]] for raw in self._runners[wanted](images)]

    def _usable_shape(self, shape: Shape) -> Shape:
        """Return the shape whose runner computes images of `shape`: the smallest that exists, else itself."""
        if shape in self._runners or not self._pads:
            return shape
        larger = (made for made in self._runners if made[1:] == shape[1:] and shape[0] < made[0] <= 2 * shape[0])
        return min(larger, default=shape)


class RunnerPool:
    """`run(images)` computes with a runner that no other call uses meanwhile.

    For runners that compute one batch at a time, or that keep the number of threads they were made with. As many are
    made as there are simultaneous calls. Later calls with the same `torch.get_num_threads()` use them again, from any
    thread.
    """

    def __init__(self, make_runner: Callable[[], Runner]) -> None:
        self._make_runner = make_runner
        self._idle: dict[int, list[Runner]] = defaultdict(list)  # by number of threads
        self._lock = Lock()

    def __call__(self, images: Tensor) -> list[Tensor]:
        with self._lock:
            idle = self._idle[torch.get_num_threads()]
            run = idle.pop() if idle else self._make_runner()
        maps = run(images)
        idle.append(run)  # not after an error, from which it may be damaged
        return maps
