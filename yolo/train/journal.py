"""What a run tells: a progress line in the terminal, curves and pictures in TensorBoard."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from yolo.train.loss import Losses

SMOOTHING = 0.9  # detector.c: avg_loss = avg_loss*.9 + loss*.1
LINE_SECONDS = 20.0  # between lines where stderr is no terminal and a line cannot be written over


class Journal:
    """Counts steps, pictures and time; writes to the terminal (stderr) and to TensorBoard files in `folder`."""

    def __init__(self, folder: str | Path, first_step: int, last_step: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=first_step)
        self.first_step = first_step
        self.last_step = last_step
        self.smooth_loss = math.nan
        self.recent: list[tuple[float, int]] = []  # (time, pictures so far) of the last steps
        self.pictures = 0
        self.lasts_line = time.monotonic()
        self.open_line = False

    def step(self, step: int, losses: Sequence[Losses], rate: float, pictures: int) -> None:
        """Note an update: the losses of its mini-batches, its learning rate, its number of pictures."""
        total, box, objectness, classification, iou = (
            float(np.mean([float(getattr(each, name)) for each in losses]))
            for name in ("total", "box", "objectness", "classification", "iou")
        )
        known = not math.isnan(self.smooth_loss)
        self.smooth_loss = (
            SMOOTHING * self.smooth_loss + (1 - SMOOTHING) * total if known else total
        )
        self.pictures += pictures
        self.recent = [*self.recent[-50:], (time.monotonic(), self.pictures)]
        scalars = {
            "loss/total": total,
            "loss/box": box,
            "loss/objectness": objectness,
            "loss/classification": classification,
            "train/iou": iou,
            "train/assigned": sum(each.assigned for each in losses) / pictures,
            "train/learning_rate": rate,
            "train/pictures_per_second": self.speed(),
        }
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)
        self._progress(step, total, rate, iou)

    def speed(self) -> float:
        """Pictures a second over the last steps; 0 before there is anything to measure."""
        if not self.recent:
            return 0.0
        (start, before), (end, after) = self.recent[0], self.recent[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def scores(self, step: int, mean_ap: float, class_aps: dict[str, float | None]) -> None:
        """Note an evaluation: the mAP and each class's AP."""
        self.recent = []  # the evaluation's time is not the training's
        self.writer.add_scalar("map/voc07", mean_ap, step)
        for name, value in class_aps.items():
            if value is not None:
                self.writer.add_scalar(f"ap/{name}", value, step)
        self.writer.flush()

    def pictures_seen(self, step: int, name: str, picture: np.ndarray) -> None:
        """Show a uint8 `[H, W, 3]` picture under `name`."""
        self.writer.add_image(name, picture, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """Print a line (or a table) on stderr, below the progress line."""
        self._end_line()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal on a new line and the files complete."""
        self._end_line()
        self.writer.close()

    def _progress(self, step: int, loss: float, rate: float, iou: float) -> None:
        speed = self.speed()
        each = self.pictures / (step - self.first_step + 1)
        left = (self.last_step - step) * each / speed if speed else math.nan
        line = (
            f"{step}/{self.last_step}  loss {loss:.3f} (avg {self.smooth_loss:.3f})  IoU {iou:.3f}  "
            f"rate {rate:.6f}  {speed:.1f} pictures/s  {clock(left)} left"
        )
        now = time.monotonic()
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self.open_line = True
        elif now - self.lasts_line > LINE_SECONDS or step == self.last_step:
            print(line, file=sys.stderr, flush=True)
            self.lasts_line = now

    def _end_line(self) -> None:
        if self.open_line:
            print(file=sys.stderr)
        self.open_line = False


def clock(seconds: float) -> str:
    """A duration as h:mm:ss, or `--` where it is not known."""
    if not math.isfinite(seconds):
        return "--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
