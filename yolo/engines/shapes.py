"""Engines that compile for one shape of images: one runner for each shape, made when it is first needed."""

from collections import defaultdict
from collections.abc import Callable
from threading import Lock, get_ident

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
