"""Which learning rate suits a network and its data: the rate rises from step to step, and the loss tells.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, and fast.ai's lr_find.
"""

import math
import re
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from yolo.cfg import override, read_cfg
from yolo.data.workers import prepared
from yolo.errors import CfgError, DivergedError
from yolo.files import replacing
from yolo.progress import progress
from yolo.settings import read_input
from yolo.train.multiscale import Stage
from yolo.train.optimizer import set_rate
from yolo.train.setup.options import Options
from yolo.train.setup.run import start
from yolo.train.trainer import Run, begin_step, parts, train_mini_batch, update

SMOOTHING = 0.9  # detector.c: avg_loss = avg_loss*.9 + loss*.1

EXPLODED = 4.0  # times the lowest smoothed loss: fast.ai stops there

SAFETY = 10.0  # fast.ai: the rate of the lowest loss, divided by this

HARMED = 1.25  # times the lowest smoothed loss: what noise does not do

LEAST_LOSS = 1e-12  # has a logarithm

LEAST_FALL = 0.01  # of the first loss: less is noise

DIGITS = 2  # of a suggestion; the curve says no more

TABLE_ROWS = 20


# The image: sizes in pixels, colors RGB, chosen by looking at it.
WIDTH, HEIGHT = 960, 600


LEFT, RIGHT, TOP, BOTTOM = 90, 930, 80, 530  # the frame of the curve


FONT, TEXT, HEADING = cv2.FONT_HERSHEY_DUPLEX, 0.5, 0.65


BLACK, GRAY, GRID = (30, 30, 30), (110, 110, 110), (225, 225, 225)


PALE_BLUE, BLUE, RED, GREEN = (165, 195, 245), (0, 60, 200), (205, 0, 0), (0, 130, 60)

SUBPIXELS = 4  # cv2 takes coordinates in 1/2^4 pixels


@dataclass(frozen=True)
class Sweep:
    """rates, losses, smoothed: `[N]`, of each step; exploded: whether the loss did, which ended it."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    exploded: bool


@dataclass(frozen=True)
class Suggestion:
    """A learning rate, None where the losses speak for none, and why; lowest, steepest: rates of those points."""

    rate: float | None
    reason: str
    lowest: float
    steepest: float


def find_rate(options: Options, rates: Sequence[float]) -> Sweep:
    """Train for a step at each of `rates`, from step 1 on, with the cfg's own augmentation; keeps only the losses.

    Images have the cfg's size, whatever its `random` says: a loss grows with the number of cells.
    Raises what `start` raises, and CfgError where the cfg's run is shorter than that.
    """
    net, *_ = override(read_cfg(options.cfg), dict(options.overrides))
    shape = read_input(net, None)
    one_size = (Stage(0, (shape.height, shape.width)),)
    with tempfile.TemporaryDirectory() as folder:
        # `start` opens a journal, which must not lie among the files of a true run
        out = Path(folder)
        run = start(replace(options, clear=True, sizes=one_size, out=out))
        run.journal.close()
        if run.last_step < len(rates):
            raise CfgError(
                f"{options.cfg}: found max_batches={run.last_step}, expected at least the {len(rates)} steps asked for"
            )
        return sweep(run, rates)


def sweep(run: Run, rates: Sequence[float]) -> Sweep:
    """One step of `run` at each rate, until the smoothed loss is EXPLODED times its lowest."""
    batches = prepared(run.batches)
    run.network.train()
    losses: list[float] = []
    try:
        for step, rate in enumerate(progress(rates, "raising the rate"), 1):
            begin_step(run, step)
            set_rate(run.optimizer, rate)
            found = [train_mini_batch(run, next(batches), step, part) for part in parts(run)]
            update(run, step)
            losses.append(float(np.mean([float(each.total.detach()) for each in found])))
            averages = smooth(losses)
            if averages[-1] > EXPLODED * averages.min():
                return Sweep(np.array(rates[:step]), np.array(losses), averages, exploded=True)
    except DivergedError:
        if not losses:
            raise  # at the lowest rate: that is not the rate's fault
        return Sweep(np.array(rates[: len(losses)]), np.array(losses), smooth(losses), True)
    finally:
        batches.close()  # ends the loader's processes
    return Sweep(np.array(rates), np.array(losses), smooth(losses), exploded=False)


def rate_option(text: str) -> float:
    """A type for argparse: a learning rate, above 0."""
    number = re.fullmatch(r"(\d{1,9}\.?\d*|\.\d+)(e[+-]?\d{1,2})?", text, re.ASCII | re.I)
    if not number or float(text) == 0:
        raise ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return float(text)


def rising_rates(first: float, last: float, steps: int) -> list[float]:
    """`steps` rates from first to last, each the same factor above the one before."""
    return np.geomspace(first, last, steps).tolist()


def smooth(losses: Sequence[float]) -> np.ndarray:
    """Moving geometric mean `[N]`, its weights Darknet's; the first loss is not favoured (as by Adam's means).

    Geometric, as a new detector's loss falls by powers of ten: in sums its first losses would count for too long.
    """
    average, averages = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * math.log(max(loss, LEAST_LOSS))
        averages.append(math.exp(average / (1 - SMOOTHING**number)))
    return np.array(averages)


def suggest(sweep: Sweep) -> Suggestion:
    """A tenth of the rate at which the smoothed loss is lowest; of the last that does no harm, where it never fell.

    The other usual choice, the rate of the steepest fall, is named beside it. It is no good guide for a detector: the
    loss of a new one falls steepest while its objectness learns that most cells are empty, at whatever rate that is.
    """
    smoothed = sweep.smoothed
    lowest = int(smoothed.argmin())
    low = float(sweep.rates[lowest])
    if not smoothed[lowest] < (1 - LEAST_FALL) * smoothed[0]:
        return _suggest_unharmed(sweep, low)
    slopes = np.gradient(smoothed[: lowest + 1], np.log(sweep.rates[: lowest + 1]))
    steep = float(sweep.rates[int(np.argmin(slopes))])
    reason = (
        f"a tenth of {low:.2g}, where the smoothed loss is lowest ({smoothed[lowest]:.4g}): there steps are nearly too "
        f"long. It falls steepest at {steep:.2g}, which for a new detector says little: its objectness learns first, "
        "at any rate, that most cells are empty"
    )
    if lowest == len(smoothed) - 1:
        reason += ". The loss still fell at the end: a higher --to may find a higher rate"
    return Suggestion(_rounded(low / SAFETY), reason, low, steep)


def _suggest_unharmed(sweep: Sweep, low: float) -> Suggestion:
    """Where the loss never fell, as of a network that has learned already: a tenth of where it was not yet worse."""
    unharmed = np.flatnonzero(sweep.smoothed <= HARMED * sweep.smoothed.min())[-1]
    if unharmed == 0:
        reason = "the smoothed loss rose at once: try a lower --from"
        return Suggestion(None, reason, low, low)
    last = float(sweep.rates[unharmed])
    reason = (
        f"a tenth of {last:.2g}, up to which the smoothed loss stays near its lowest ({sweep.smoothed.min():.4g}). It "
        "never fell below where it began, as with weights that have learned these data"
    )
    return Suggestion(_rounded(last / SAFETY), reason, low, low)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS - 1}e}")


def table(sweep: Sweep) -> str:
    """Some TABLE_ROWS lines of rate, loss and smoothed loss, the lowest marked."""
    last, lowest = len(sweep.rates) - 1, int(sweep.smoothed.argmin())
    rows = {*np.linspace(0, last, TABLE_ROWS).round().astype(int).tolist(), lowest}
    lines = [f"{'rate':>10}  {'loss':>10}  {'smoothed':>10}"]
    for row in sorted(rows):
        mark = "  lowest" if row == lowest else ""
        values = sweep.rates[row], sweep.losses[row], sweep.smoothed[row]
        lines.append("{:>10.3g}  {:>10.4g}  {:>10.4g}".format(*values) + mark)
    return "\n".join(lines)


def write_image(path: Path, sweep: Sweep, suggestion: Suggestion) -> None:
    """`draw` as a PNG, written whole or not at all."""
    image = draw(sweep, suggestion)
    done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"{path}: the image could not be encoded as PNG")
    with replacing(path) as file:
        file.write(content.tobytes())


def draw(sweep: Sweep, suggestion: Suggestion) -> np.ndarray:
    """Losses over rates, both on logarithmic axes, and the suggested rate: uint8 RGB `[HEIGHT, WIDTH, 3]`."""
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    # up to the smoothed loss: the last steps before it explodes may lose all measure
    high = sweep.smoothed.max()
    rates, losses = _span(sweep.rates), _span(np.append(sweep.losses[sweep.losses <= high], high))
    _draw_axes(canvas, rates, losses)
    x = LEFT + _place(sweep.rates, rates) * (RIGHT - LEFT)
    for curve, color in ((sweep.losses, PALE_BLUE), (sweep.smoothed, BLUE)):
        points = np.stack((x, BOTTOM - _place(curve, losses) * (BOTTOM - TOP)), axis=1)
        fixed = np.round(points * 2**SUBPIXELS).astype(np.int32)
        width = 2 if color == BLUE else 1
        cv2.polylines(canvas, [fixed], False, color, width, cv2.LINE_AA, SUBPIXELS)
    marks = [("lowest", suggestion.lowest, RED, TOP + 14)]
    if suggestion.rate is not None:
        marks.append((f"suggested {suggestion.rate:g}", suggestion.rate, GREEN, TOP + 34))
    for text, rate, color, y in marks:
        column = round(float(LEFT + _place(rate, rates) * (RIGHT - LEFT)))
        cv2.line(canvas, (column, TOP), (column, BOTTOM), color, 1)
        left = column < 0.8 * WIDTH
        place = (column + 6, y) if left else (column - 6, y)
        _write(canvas, text, place, TEXT, color, 0.0 if left else 1.0)
    cv2.rectangle(canvas, (LEFT, TOP), (RIGHT, BOTTOM), GRAY, 1)
    title = f"the loss while the learning rate rises, {len(sweep.rates)} steps"
    _write(canvas, title, (LEFT, 26), HEADING, BLACK)
    _write(canvas, "loss", (LEFT, 58), TEXT, PALE_BLUE)
    _write(canvas, "smoothed", (LEFT + 60, 58), TEXT, BLUE)
    _write(canvas, "learning rate", ((LEFT + RIGHT) // 2, BOTTOM + 50), TEXT, BLACK, 0.5)
    return canvas


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from low to high; the powers alone where they are many."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [value for value in values if low <= value <= high]


def _span(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of an axis, a little beyond the values, which may be all the same."""
    positive = values[values > 0] if (values > 0).any() else np.ones(1)
    return float(positive.min() / 1.1), float(positive.max() * 1.1)


def _place(values: np.ndarray | float, span: tuple[float, float]) -> np.ndarray:
    """Where values lie on a logarithmic axis, 0 to 1; what is beyond its ends lies there."""
    low, high = np.log(span)
    return (np.log(np.clip(values, *span)) - low) / (high - low)


def _draw_axes(canvas: np.ndarray, rates: tuple[float, float], losses: tuple[float, float]) -> None:
    for value in ticks(*losses):
        y = round(float(BOTTOM - _place(value, losses) * (BOTTOM - TOP)))
        cv2.line(canvas, (LEFT, y), (RIGHT, y), GRID, 1)
        _write(canvas, f"{value:g}", (LEFT - 8, y), TEXT, BLACK, 1.0)
    for value in ticks(*rates):
        x = round(float(LEFT + _place(value, rates) * (RIGHT - LEFT)))
        cv2.line(canvas, (x, TOP), (x, BOTTOM), GRID, 1)
        _write(canvas, f"{value:g}", (x, BOTTOM + 20), TEXT, BLACK, 0.5)


def _write(
    canvas: np.ndarray,
    text: str,
    place: tuple[int, int],
    size: float,
    color: tuple[int, int, int],
    align: float = 0.0,
) -> None:
    """Text whose left end (align 0), middle (0.5) or right end (1) is at `place`, halfway up its capitals."""
    (width, height), _ = cv2.getTextSize(text, FONT, size, 1)
    corner = round(place[0] - align * width), place[1] + height // 2
    cv2.putText(canvas, text, corner, FONT, size, color, 1, cv2.LINE_AA)
