"""What a run tells while it trains: lines in the terminal, curves in TensorBoard, tables as CSV, a chart."""

import math
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolo.train.log import tensorboard as events
from yolo.train.log.chart import Curves, write_chart
from yolo.train.log.console import Printer, ProgressLine, StepLines, Told
from yolo.train.log.csv_table import STEP, Table
from yolo.train.log.darknet import STEP_LINES
from yolo.train.log.tensorboard import EventFile

SMOOTHING = 0.9  # detector.c: avg_loss = avg_loss*.9 + loss*.1

SPEED_STEPS = 50  # over which images a second are measured

CHART_EVERY = 100  # steps; AlexeyAB image_opencv.cpp draw_train_loss saves chart.png as often

MAX_LOSS = 20.0  # max_chart_loss of a cfg that names none, or 0


LOSS, AVERAGE = "loss/total", "loss/average"

DARKNET_LOSS = "loss/darknet"  # shown instead of what is minimized, where it was worked out

QUALITIES = {"train/iou": "IoU", "train/top1": "top-1"}  # shown in the progress line

GIB = 2**30

Curve = tuple[np.ndarray, np.ndarray, int]  # right bool [N], scores [N], number of ground truths


class Logger:
    """Counts steps, images and time; tells them by `printer` and in `folder`: tensorboard/, scalars.csv (a row a
    step), scores.csv (a row an evaluation) and chart.png.

    A run that goes on at `first_step` goes on with those files and with their average loss. max_loss: the top of the
    chart; title: what is written over it. A file that cannot be written, as on a full disk, costs one line of
    warning, not the run.
    """

    def __init__(
        self,
        folder: str | Path,
        first_step: int,
        last_step: int,
        *,
        printer: Printer | None = None,
        max_loss: float = MAX_LOSS,
        title: str = "",
    ) -> None:
        folder = Path(folder)
        self.events = EventFile(folder / "tensorboard", first_step)
        self.scalar_table = Table(folder / "scalars.csv", first_step)
        self.score_table = Table(folder / "scores.csv", first_step)
        self.chart = folder / "chart.png"
        self.printer = printer or ProgressLine()
        self.first_step, self.last_step = first_step, last_step
        self.max_loss, self.title = max_loss or MAX_LOSS, title
        steps, losses, darknet, averages = self.scalar_table.read(
            (STEP, LOSS, DARKNET_LOSS, AVERAGE)
        )
        self.steps, self.averages = array("d", steps), array("d", averages)
        self.losses = array("d", np.where(np.isnan(darknet), losses, darknet))
        self.shown = LOSS if np.isnan(darknet[-1:]).any() else DARKNET_LOSS
        self.score_name = "".join(self.score_table.columns[1:2])
        self.scored = _points(self.score_table.read((STEP, self.score_name)))
        self.images = 0
        self.recent: deque[tuple[float, int]] = deque(maxlen=SPEED_STEPS + 1)
        self.last_time = time.monotonic()
        self.left = math.nan
        self.failed: set[str] = set()

    def step(self, step: int, losses: Sequence, rate: float, images: int) -> None:
        """Note an update: the losses of its mini-batches, its learning rate, its number of images.

        losses: each with `scalars()`, numbers by name, "loss/total" among them; those of darknet_log with `lines()`.
        """
        values = mean_scalars(losses)
        shown = DARKNET_LOSS if DARKNET_LOSS in values else LOSS
        loss = values[shown]
        before = self.averages[-1] if self.averages and shown == self.shown else math.nan
        self.shown = shown
        average = loss if not math.isfinite(before) else SMOOTHING * before + (1 - SMOOTHING) * loss
        for numbers, number in (
            (self.steps, step), (self.losses, loss), (self.averages, average),
        ):  # fmt: skip
            numbers.append(number)
        seconds = self._count(step, images)
        values |= {
            AVERAGE: average,
            "train/learning_rate": rate,
            "train/pictures_per_second": self.speed(),
            **gpu_memory(losses[0].total.device),
        }
        self._record("events", lambda: self.events.add(step, events.scalars(values)))
        self._record("scalars", lambda: self.scalar_table.add(step, values))
        self.printer.step(self._told(values, seconds, images, losses))
        if step % CHART_EVERY == 0 or step == self.last_step:
            self._draw()

    def speed(self) -> float:
        """Images a second over the last steps; 0 before there is anything to measure."""
        if not self.recent:
            return 0.0
        (start, before), (end, after) = self.recent[0], self.recent[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def scores(
        self, step: int, name: str, mean: float | None, values: Mapping[str, float | None]
    ) -> None:
        """Note an evaluation: `mean`, the number called `name` (None where there was nothing to score), and others."""
        self.last_time = time.monotonic()
        self.recent.clear()  # the evaluation's time is not the training's
        self.recent.append((self.last_time, self.images))
        everything = {name: mean, **values}
        self.score_name = name
        if mean is not None:
            self.scored.append((step, mean))
        self._record("events", lambda: self.events.add(step, events.scalars(everything)))
        self._record("scores", lambda: self.score_table.add(step, everything))
        self._draw()

    def curves(self, step: int, curves: Mapping[str, Curve]) -> None:
        """Note precision against recall, class by class; a class without ground truths has no curve."""
        for name, (right, scores, ground_truths) in curves.items():
            if ground_truths > 0:
                content = events.curve(f"pr/{name}", right, scores, ground_truths)
                self._record("events", lambda content=content: self.events.add(step, content))

    def histograms(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Note how the finite values of each tensor are spread."""
        for name, values in tensors.items():
            content = events.histogram(name, values)
            if content is not None:
                self._record("events", lambda content=content: self.events.add(step, content))

    def images_seen(self, step: int, name: str, image: np.ndarray) -> None:
        """Show a uint8 `[H, W, 3]` image under `name`."""
        content = events.image(name, image)
        self._record("events", lambda: self.events.add(step, content))

    def say(self, text: str) -> None:
        """Print a line (or a table) on stderr, below the progress line."""
        self.printer.say(text)

    def close(self) -> None:
        """Leave the terminal on a new line, the chart up to date and the files closed."""
        self.printer.close()
        if self.steps:
            self._draw()
        for file in (self.events, self.scalar_table, self.score_table):
            file.close()

    def _count(self, step: int, images: int) -> float:
        """Count images and time; returns the seconds since the step before."""
        now = time.monotonic()
        seconds, self.last_time = now - self.last_time, now
        self.images += images
        self.recent.append((now, self.images))
        each, speed = self.images / (step - self.first_step + 1), self.speed()
        self.left = (self.last_step - step) * each / speed if speed else math.nan
        return seconds

    def _told(
        self, values: Mapping[str, float], seconds: float, images: int, losses: Sequence
    ) -> Told:
        return Told(
            step=int(self.steps[-1]),
            last_step=self.last_step,
            loss=self.losses[-1],
            average=values[AVERAGE],
            rate=values["train/learning_rate"],
            quality={word: values[name] for name, word in QUALITIES.items() if name in values},
            seconds=seconds,
            speed=self.speed(),
            left=self.left,
            images=images,
            details=[line for each in losses if hasattr(each, "lines") for line in each.lines()],
        )

    def _draw(self) -> None:
        curves = Curves(
            title=self.title,
            steps=np.array(self.steps),
            losses=np.array(self.losses),
            averages=np.array(self.averages),
            scores=self.scored,
            score_name=self.score_name,
            last_step=self.last_step,
            max_loss=self.max_loss,
            seconds_left=self.left,
        )
        self._record("chart", lambda: write_chart(self.chart, curves))

    def _record(self, what: str, write: Callable[[], None]) -> None:
        """`write`; the first time that `what` cannot be written, say so."""
        try:
            write()
        except OSError as error:
            if what not in self.failed:
                self.say(f"warning: {error}; training goes on, what could not be written is lost")
            self.failed.add(what)


def printer_of(log: str, dialect: str) -> Printer:
    """The printer that `log` names, "progress" or "darknet"; the lines of Darknet are those of `dialect`."""
    return {"progress": ProgressLine, "darknet": lambda: StepLines(STEP_LINES[dialect])}[log]()


def mean_scalars(losses: Sequence) -> dict[str, float]:
    """The mean over mini-batches of each number of `scalars()`, with one transfer for all that are tensors."""
    each = [one.scalars() for one in losses]
    tensors = [name for name, value in each[0].items() if isinstance(value, Tensor)]
    means = {
        name: sum(float(one[name]) for one in each) / len(each)
        for name in each[0]
        if name not in tensors
    }
    if tensors:
        stacked = torch.stack(
            [torch.stack([one[name].detach().float() for name in tensors]) for one in each]
        )
        means |= zip(tensors, stacked.mean(dim=0).tolist(), strict=True)
    return {name: means[name] for name in each[0]}


def gpu_memory(device: torch.device) -> dict[str, float]:
    """The most memory of a GPU that tensors have taken so far, in GiB, by its name; nothing for a CPU."""
    if device.type != "cuda":
        return {}
    return {"train/gpu_memory_gib": torch.cuda.max_memory_allocated(device) / GIB}


def _points(columns: list[list[float]]) -> list[tuple[float, float]]:
    return [(step, value) for step, value in zip(*columns, strict=True) if not math.isnan(value)]


class NullLogger:
    """Takes what a Journal takes."""

    def step(self, *_: object) -> None:
        """Nothing."""

    scores = curves = histograms = images_seen = say = step

    def close(self) -> None:
        """Nothing is open."""
