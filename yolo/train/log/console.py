"""How the steps of a run are told in a terminal or a log file: as one progress line, or a line a step."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LINE_SECONDS = 20.0  # between lines where stderr is no terminal and a line cannot be written over


@dataclass(frozen=True)
class Told:
    """A step as it is told.

    loss, average: of the step, and smoothed as Darknet does; quality: what is worth showing beside them, by name;
    seconds: since the step before; speed: images a second of late; left: seconds to the end, nan when not known;
    images: of this step; details: lines of Darknet's kind about its parts.
    """

    step: int
    last_step: int
    loss: float
    average: float
    rate: float
    quality: dict[str, float]
    seconds: float
    speed: float
    left: float
    images: int
    details: Sequence[str] = ()


class ProgressLine:
    """One line on stderr that is written over; a line every 20 seconds where stderr is no terminal."""

    def __init__(self) -> None:
        self.last_line = time.monotonic()
        self.open = False

    def step(self, told: Told) -> None:
        if sys.stderr.isatty():
            line = fitted_line(told, shutil.get_terminal_size().columns)
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self.open = True
        elif time.monotonic() - self.last_line > LINE_SECONDS or told.step == told.last_step:
            print(long_line(told), file=sys.stderr, flush=True)
            self.last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line (or a table) below the progress line."""
        self.close()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal on a new line."""
        if self.open:
            print(file=sys.stderr)
        self.open = False


class StepLines:
    """On stdout, where Darknet has them, the details and one line of each step, as `line_of` writes it."""

    def __init__(self, line_of: Callable[[Told], str]) -> None:
        self.line_of = line_of

    def step(self, told: Told) -> None:
        print(*told.details, self.line_of(told), sep="\n", flush=True)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left open."""


Printer = ProgressLine | StepLines


def long_line(told: Told) -> str:
    """A step in words."""
    quality = "".join(f"{name} {value:.3f}  " for name, value in told.quality.items())
    return (
        f"{told.step}/{told.last_step}  loss {told.loss:.3f} (avg {told.average:.3f})  {quality}"
        f"rate {told.rate:.6f}  {told.speed:.1f} images/s  {format_duration(told.left)} left"
    )


def fitted_line(told: Told, columns: int) -> str:
    """A step in a terminal of so many columns: a line that wraps could not be written over.

    The last column stays free, as some terminals wrap when it is written.
    """
    line = long_line(told)
    if len(line) >= columns:
        quality = "".join(f"{name} {value:.2f} " for name, value in told.quality.items())
        line = (
            f"{told.step}/{told.last_step} avg loss {told.average:.3f} {quality}"
            f"rate {told.rate:.2g} {told.speed:.0f}/s {format_duration(told.left)} left"
        )
    return line[: max(1, columns - 1)]


def format_duration(seconds: float) -> str:
    """A duration as h:mm:ss, or `--` where it is not known."""
    if not math.isfinite(seconds):
        return "--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
