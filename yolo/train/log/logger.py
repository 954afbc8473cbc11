"""The log of a training run: lines in the terminal, TensorBoard, tables as CSV and a chart.

Columns of scalars.csv, one row a step. TensorBoard has the same numbers under the same names:

    step
    loss/total, loss/box, loss/objectness, loss/classification       detectors: losses/detection.py, Losses.scalars
    train/iou                                                        mean IoU of the boxes and their ground truth
    heads/loss_box_0, heads/loss_objectness_0, heads/loss_classification_0, heads/iou_0, heads/assigned_share_0,
    heads/ignored_share_0, heads/recall_50_0, heads/recall_75_0,
    heads/loss_objectness_object_0, heads/loss_objectness_background_0    each head, numbered from 0
    loss/objectness_object, loss/objectness_background               of responsible cells, of all others
    loss/total, train/top1                                           classifiers: losses/classification.py
    loss/darknet                                                     with --log darknet: the loss that Darknet prints
    loss/average                                                     moving average, as in Darknet's log
    train/learning_rate, train/pictures_per_second
    train/gpu_memory_gib                                             on a GPU

Columns of scores.csv, one row an evaluation: step, the score that chooses the best weights, then the other scores.
"""

import csv
import io
import math
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolo.files.chart_file import write_figure
from yolo.files.writing import GrowingFile, replacing
from yolo.formats.scalars import LOSS_COLUMNS, SCALARS_FILE, STEP
from yolo.records import LossResult
from yolo.train.log import tensorboard
from yolo.train.log.chart import Curves, draw_chart
from yolo.train.log.console import Printer, ProgressLine, StepLines, StepReport
from yolo.train.log.darknet import STEP_LINES, DarknetLosses
from yolo.train.log.tensorboard import EventFile

TOTAL_LOSS, AVERAGE_LOSS = "loss/total", "loss/average"
DARKNET_LOSS = "loss/darknet"  # printed instead of TOTAL_LOSS, if it is known

LEARNING_RATE, SPEED, GPU_MEMORY = (
    "train/learning_rate", "train/pictures_per_second", "train/gpu_memory_gib",
)  # fmt: skip

PRINTED_METRICS = {"train/iou": "IoU", "train/top1": "top-1"}  # column → word in the progress line
SMOOTHING = 0.9  # detector.c: avg_loss = avg_loss*.9 + loss*.1
SPEED_STEPS = 50  # images per second are measured over the last steps
CHART_STEPS = 100  # AlexeyAB image_opencv.cpp draw_train_loss saves chart.png every 100 steps
CHART_SECONDS = 30.0  # at least, between two charts: drawing one takes a few tenths of a second
MAX_LOSS = 20.0  # max_chart_loss of a cfg without it, or with 0
GIB = 2**30

# detections of a class: bool `[N]`, which are true positives; their scores `[N]`; number of ground truth boxes
PrecisionRecallData = tuple[np.ndarray, np.ndarray, int]


class Logger:
    """Logs steps and evaluations: prints them, and writes tensorboard/, scalars.csv, scores.csv and chart.png.

    A resumed run continues these files and the average loss. If a file cannot be written (a full disk), the logger
    prints one warning and training continues.
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
        """Open the files.

        Args:
            folder: where the files are.
            first_step: number of the first step of this run; rows of this and later steps are removed from the files.
            last_step: number of the last step.
            printer: prints the steps; default: a progress line.
            max_loss: top of the chart's loss axis.
            title: title of the chart.
        """
        folder = Path(folder)
        self.events = EventFile(folder / "tensorboard", first_step)
        self.scalar_table = CsvTable(folder / SCALARS_FILE, first_step)
        self.score_table = CsvTable(folder / "scores.csv", first_step)
        self.chart_path = folder / "chart.png"
        self.printer = printer or ProgressLine()
        self.first_step, self.last_step = first_step, last_step
        self.max_loss, self.title = max_loss or MAX_LOSS, title
        steps, losses, darknet_losses, averages = self.scalar_table.read((STEP, TOTAL_LOSS, DARKNET_LOSS, AVERAGE_LOSS))
        self.steps, self.averages = array("d", steps), array("d", averages)
        self.losses = array("d", np.where(np.isnan(darknet_losses), losses, darknet_losses))
        parts = self.scalar_table.read(tuple(LOSS_COLUMNS))
        self.parts = {column: array("d", values) for column, values in zip(LOSS_COLUMNS, parts, strict=True)}
        self.loss_name = TOTAL_LOSS if np.isnan(darknet_losses[-1:]).any() else DARKNET_LOSS
        self.score_name = "".join(self.score_table.columns[1:2])
        scores = zip(*self.score_table.read((STEP, self.score_name)), strict=True)
        self.score_points = [(step, score) for step, score in scores if not math.isnan(score)]
        self.images = 0
        self.recent: deque[tuple[float, int]] = deque(maxlen=SPEED_STEPS + 1)  # (time, images)
        self.last_time = time.monotonic()
        self.chart_time, self.chart_is_current = -math.inf, False
        self.seconds_left = math.nan
        self.failed: set[str] = set()

    def step(self, step: int, losses: Sequence[LossResult], learning_rate: float, images: int) -> None:
        """Log a step.

        Args:
            step: its number.
            losses: of its mini-batches; `scalars()` of each contains TOTAL_LOSS.
            learning_rate: of this step.
            images: number of images of this step.
        """
        values = mean_scalars(losses)
        name = DARKNET_LOSS if DARKNET_LOSS in values else TOTAL_LOSS
        loss = values[name]
        before = self.averages[-1] if self.averages and name == self.loss_name else math.nan
        self.loss_name = name
        average = loss if not math.isfinite(before) else SMOOTHING * before + (1 - SMOOTHING) * loss
        self.steps.append(step)
        self.losses.append(loss)
        self.averages.append(average)
        for column, numbers in self.parts.items():
            numbers.append(values.get(column, math.nan))
        seconds = self._count(step, images)
        values |= {
            AVERAGE_LOSS: average,
            LEARNING_RATE: learning_rate,
            SPEED: self.images_per_second(),
            **gpu_memory(losses[0].total.device),
        }
        self._write("events", lambda: self.events.add(step, tensorboard.scalars(values)))
        self._write("scalars", lambda: self.scalar_table.add(step, values))
        report = StepReport(
            step=step,
            last_step=self.last_step,
            loss=loss,
            average_loss=average,
            learning_rate=learning_rate,
            metrics={word: values[column] for column, word in PRINTED_METRICS.items() if column in values},
            seconds=seconds,
            images_per_second=values[SPEED],
            seconds_left=self.seconds_left,
            images=images,
            head_lines=[line for each in losses if isinstance(each, DarknetLosses) for line in each.lines()],
        )
        self.printer.step(report)
        self.chart_is_current = False
        if step % CHART_STEPS == 0 and time.monotonic() - self.chart_time > CHART_SECONDS:
            self._write_chart()

    def images_per_second(self) -> float:
        """Return the speed over the last steps; 0 before it can be measured."""
        if not self.recent:
            return 0.0
        (start, images_before), (end, images) = self.recent[0], self.recent[-1]
        return (images - images_before) / (end - start) if end > start else 0.0

    def scores(self, step: int, name: str, score: float | None, values: Mapping[str, float | None]) -> None:
        """Log an evaluation.

        Args:
            step: the weights of this step were evaluated.
            name: column of `score`.
            score: the score that the chart shows; None if there was nothing to score.
            values: other scores, by column.
        """
        self.last_time = time.monotonic()
        self.recent.clear()  # the time of the evaluation is not training time
        self.recent.append((self.last_time, self.images))
        columns = {name: score, **values}
        self.score_name = name
        if score is not None:
            self.score_points.append((step, score))
        self._write("events", lambda: self.events.add(step, tensorboard.scalars(columns)))
        self._write("scores", lambda: self.score_table.add(step, columns))
        self._write_chart()

    def curves(self, step: int, curves: Mapping[str, PrecisionRecallData]) -> None:
        """Log the precision-recall curve of each class that has ground truth, by class name."""
        for name, (true_positive, scores, ground_truths) in curves.items():
            if ground_truths > 0:
                content = tensorboard.pr_curve(f"pr/{name}", true_positive, scores, ground_truths)
                self._write("events", lambda content=content: self.events.add(step, content))

    def histograms(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Log a histogram of the finite values of each tensor, by name."""
        for name, values in tensors.items():
            content = tensorboard.histogram(name, values)
            if content is not None:
                self._write("events", lambda content=content: self.events.add(step, content))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Log an image, uint8 `[H, W, 3]` RGB."""
        content = tensorboard.image(name, image)
        self._write("events", lambda: self.events.add(step, content))

    def message(self, text: str) -> None:
        """Print a line (or a table) to stderr, below the progress line."""
        self.printer.message(text)

    def close(self) -> None:
        """Bring the chart up to date and close the files."""
        self.printer.close()
        if self.steps and not self.chart_is_current:
            self._write_chart()
        for file in (self.events, self.scalar_table, self.score_table):
            file.close()

    def _count(self, step: int, images: int) -> float:
        """Count the images and the time of a step; return the seconds since the previous step."""
        now = time.monotonic()
        seconds, self.last_time = now - self.last_time, now
        self.images += images
        self.recent.append((now, self.images))
        images_a_step = self.images / (step - self.first_step + 1)
        speed = self.images_per_second()
        self.seconds_left = (self.last_step - step) * images_a_step / speed if speed else math.nan
        return seconds

    def _write_chart(self) -> None:
        self.chart_time, self.chart_is_current = time.monotonic(), True
        curves = Curves(
            title=self.title,
            steps=np.array(self.steps),
            losses=np.array(self.losses),
            averages=np.array(self.averages),
            scores=self.score_points,
            score_name=self.score_name,
            last_step=self.last_step,
            max_loss=self.max_loss,
            seconds_left=self.seconds_left,
            parts=self._known_parts(),
        )
        self._write("chart", lambda: write_figure(self.chart_path, draw_chart(curves)))

    def _known_parts(self) -> dict[str, np.ndarray]:
        """Return the parts of the loss for the chart; {} unless some step has all of them, as of a classifier."""
        parts = {LOSS_COLUMNS[column]: np.array(values) for column, values in self.parts.items()}
        known = np.isfinite(np.array(list(parts.values()))).all(axis=0)
        return parts if known.any() else {}

    def _write(self, file: str, write: Callable[[], None]) -> None:
        """Call `write`; print a warning the first time that `file` cannot be written."""
        try:
            write()
        except OSError as error:
            if file not in self.failed:
                self.message(f"warning: {error}; training continues, some of the log is lost")
            self.failed.add(file)


class NullLogger:
    """The methods of Logger, doing nothing: for all processes but the first."""

    def step(self, step: int, losses: Sequence[LossResult], learning_rate: float, images: int) -> None: ...

    def scores(self, step: int, name: str, score: float | None, values: Mapping[str, float | None]) -> None: ...

    def curves(self, step: int, curves: Mapping[str, PrecisionRecallData]) -> None: ...

    def histograms(self, step: int, tensors: Mapping[str, Tensor]) -> None: ...

    def image(self, step: int, name: str, image: np.ndarray) -> None: ...

    def message(self, text: str) -> None: ...

    def close(self) -> None: ...


class CsvTable:
    """A CSV file of numbers, one row a step, which a resumed run continues.

    Opening it removes the rows of `first_step` and later, which will be written again, and an unfinished last row.
    The first row decides the columns; a name that comes later gets a new column at the end.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        keep, self.columns = rows_to_keep(path, first_step)
        self.file = GrowingFile(path, keep)

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Append a row; None is an empty field. Raises OSError, and leaves whole rows, if it cannot be written."""
        new = [name for name in values if name not in self.columns]
        header = b""
        if not self.columns:
            header = _csv_line([STEP, *new])
        elif new:
            self._add_columns(new)
        columns = self.columns or [STEP, *new]
        row = [str(step), *(_csv_number(values.get(name)) for name in columns[1:])]
        self.file.append(header + _csv_line(row))
        self.columns = columns

    def read(self, names: Sequence[str]) -> list[list[float]]:
        """Return the numbers of each column in `names`; nan where a row has none."""
        with self.path.open(newline="", encoding="utf-8") as file:
            columns: list[list[float]] = [[] for _ in names]
            for row in csv.DictReader(file):
                for name, numbers in zip(names, columns, strict=True):
                    numbers.append(float(row.get(name) or "nan"))
        return columns

    def close(self) -> None:
        self.file.close()

    def _add_columns(self, new: list[str]) -> None:
        """Rewrite the file with more columns, empty in the existing rows."""
        header = _csv_line([*self.columns, *new])
        with self.path.open("rb") as old, replacing(self.path) as file:
            old.readline()
            file.write(header)
            for line in old:
                file.write(line.rstrip(b"\n") + b"," * len(new) + b"\n")
        self.file.close()
        self.file = GrowingFile(self.path)
        self.columns = [*self.columns, *new]


def rows_to_keep(path: Path, first_step: int) -> tuple[int, list[str]]:
    """Return the length in bytes of the whole rows before `first_step`, and the columns; (0, []) if there are none."""
    if not path.exists():
        return 0, []
    with path.open("rb") as file:
        header = file.readline()
        columns = next(csv.reader([header.decode(errors="replace").rstrip("\n")]), [])
        if not header.endswith(b"\n") or columns[:1] != [STEP]:
            return 0, []
        length = len(header)
        for line in file:
            fields = line.split(b",")
            whole = line.endswith(b"\n") and len(fields) == len(columns) and fields[0].isdigit()
            if not whole or int(fields[0]) >= first_step:
                break
            length += len(line)
    return (length, columns) if length > len(header) else (0, [])


def printer_of(log: str, dialect: str) -> Printer:
    """Return the printer of `--log`, "progress" or "darknet"; Darknet's lines are those of `dialect`."""
    return {"progress": ProgressLine, "darknet": lambda: StepLines(STEP_LINES[dialect])}[log]()


def mean_scalars(losses: Sequence[LossResult]) -> dict[str, float]:
    """Return the mean of each of `scalars()` over mini-batches, with one transfer from the device for all tensors."""
    batches = [each.scalars() for each in losses]
    tensors = [name for name, value in batches[0].items() if isinstance(value, Tensor)]
    means = {
        name: sum(float(scalars[name]) for scalars in batches) / len(batches)
        for name in batches[0]
        if name not in tensors
    }
    if tensors:
        stacked = torch.stack(
            [torch.stack([scalars[name].detach().float() for name in tensors]) for scalars in batches]
        )
        means |= zip(tensors, stacked.mean(dim=0).tolist(), strict=True)
    return {name: means[name] for name in batches[0]}


def gpu_memory(device: torch.device) -> dict[str, float]:
    """Return the peak GPU memory of all tensors so far, in GiB, as a column; {} on a CPU."""
    if device.type != "cuda":
        return {}
    return {GPU_MEMORY: torch.cuda.max_memory_allocated(device) / GIB}


def _csv_line(fields: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def _csv_number(value: float | None) -> str:
    """Format with all digits, so that a resumed run reads the same number; whole numbers without a decimal point."""
    return "" if value is None else repr(float(value)).removesuffix(".0")
