"""How the steps of a training run are printed: as one progress line, or as one line a step."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolo.console.numbers import speed_text

LINE_SECONDS = 20.0  # between two lines where they cannot be overwritten: stderr is no terminal


@dataclass(frozen=True)
class StepReport:
    """The numbers of a step that are printed.

    loss, average_loss: of the step, and Darknet's moving average; metrics: more numbers, by printed name;
    seconds: since the previous step; images_per_second: over the last steps; seconds_left: until the end of the run,
    nan if unknown; images: number of images of this step; head_lines: Darknet's lines of the heads.
    """

    step: int
    last_step: int
    loss: float
    average_loss: float
    learning_rate: float
    metrics: dict[str, float]
    seconds: float
    images_per_second: float
    seconds_left: float
    images: int
    head_lines: Sequence[str] = ()


class ProgressLine:
    """One line on stderr that is overwritten; a line every 20 seconds if stderr is not a terminal."""

    def __init__(self) -> None:
        self.last_line = time.monotonic()
        self.open = False

    def step(self, report: StepReport) -> None:
        """Print a step."""
        if sys.stderr.isatty():
            line = fitted_line(report, shutil.get_terminal_size().columns)
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self.open = True
        elif time.monotonic() - self.last_line > LINE_SECONDS or report.step == report.last_step:
            print(long_line(report), file=sys.stderr, flush=True)
            self.last_line = time.monotonic()

    def message(self, text: str) -> None:
        """Print a line (or a table) below the progress line."""
        self.close()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the progress line."""
        if self.open:
            print(file=sys.stderr)
        self.open = False


class StepLines:
    """On stdout, as Darknet, the lines of the heads and one line for each step, which `line_of` formats."""

    def __init__(self, line_of: Callable[[StepReport], str]) -> None:
        self.line_of = line_of

    def step(self, report: StepReport) -> None:
        """Print a step."""
        print(*report.head_lines, self.line_of(report), sep="\n", flush=True)

    def message(self, text: str) -> None:
        """Print a line (or a table) to stderr."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Do nothing."""


Printer = ProgressLine | StepLines


def long_line(report: StepReport) -> str:
    """Format a step as one line."""
    metrics = "".join(f"{name} {value:.3f}  " for name, value in report.metrics.items())
    return (
        f"{report.step}/{report.last_step}  loss {report.loss:.3f} (avg {report.average_loss:.3f})  {metrics}"
        f"rate {report.learning_rate:.4g}  {speed_text(report.images_per_second)} images/s  "
        f"{format_duration(report.seconds_left)} left"
    )


def fitted_line(report: StepReport, columns: int) -> str:
    """Format a step as a line shorter than `columns`: a terminal that wraps a line could not overwrite it.

    The last column stays free because some terminals wrap as soon as it is written.
    """
    line = long_line(report)
    if len(line) >= columns:
        metrics = "".join(f"{name} {value:.2f} " for name, value in report.metrics.items())
        line = (
            f"{report.step}/{report.last_step} avg loss {report.average_loss:.3f} {metrics}"
            f"rate {report.learning_rate:.2g} {speed_text(report.images_per_second, 0)}/s "
            f"{format_duration(report.seconds_left)} left"
        )
    return line[: max(1, columns - 1)]


def format_duration(seconds: float) -> str:
    """Format as h:mm:ss; `--` if unknown."""
    if not math.isfinite(seconds):
        return "--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
