"""Runners that are made when they are first needed: one for each shape of images, one for each thread."""

from collections import defaultdict
from collections.abc import Callable
from threading import Lock, get_ident, local

import torch
from torch import Tensor

Engine = Callable[[Tensor], list[Tensor]]  # images [B, C, H, W] → float32 raw maps, as Network.forward gives them
Shape = tuple[int, ...]
Runner = Callable[[Tensor], list[Tensor]]  # float32 [B, C, H, W], contiguous, on the CPU → raw maps


class MapsByShape:
    """`maps(images)` computes the raw maps by the runner of the images' shape.

    Args:
        make_runner: Returns the runner for `(B, C, H, W)`.
        pads: Images of a batch that is smaller than one which has a runner are computed together with blank images,
            if at least half of that batch is used, since making a runner takes long.
        per_thread: Each thread that calls gets runners of its own, as far as a runner computes one batch at a time.
    """

    def __init__(self, make_runner: Callable[[Shape], Runner], pads: bool = False, per_thread: bool = False) -> None:
        self._make_runner = make_runner
        self._pads = pads
        self._per_thread = per_thread
        self._runners: dict[int, dict[Shape, Runner]] = defaultdict(dict)  # by thread, 0 for all
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]` → float32 raw maps on the CPU, as `Network.forward` gives them."""
        images = images.float().cpu().contiguous()
        shape = tuple(images.shape)
        runners = self._runners[get_ident() if self._per_thread else 0]
        with self._lock:
            wanted = self._usable_shape(shape, runners)
            if wanted not in runners:
                runners[wanted] = self._make_runner(wanted)
        if wanted != shape:
            images = torch.cat((images, images.new_zeros(wanted[0] - shape[0], *shape[1:])))
        return [raw[: shape[0]] for raw in runners[wanted](images)]

    def _usable_shape(self, shape: Shape, runners: dict[Shape, Runner]) -> Shape:
        """Return the shape whose runner computes images of `shape`: the smallest that exists, else itself."""
        if shape in runners or not self._pads:
            return shape
        larger = (made for made in runners if made[1:] == shape[1:] and shape[0] < made[0] <= 2 * shape[0])
        return min(larger, default=shape)


class RunnerPerThread:
    """`run(images)` computes with a runner of the thread that calls, which is made by `make_runner` at its first call.

    For runners that compute one batch at a time, or that keep the number of threads they were made with.
    """

    def __init__(self, make_runner: Callable[[], Runner]) -> None:
        self._make_runner = make_runner
        self._own = local()
        self._lock = Lock()

    def __call__(self, images: Tensor) -> list[Tensor]:
        if not hasattr(self._own, "run"):
            with self._lock:
                self._own.run = self._make_runner()
        return self._own.run(images)
