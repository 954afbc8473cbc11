"""The section of a report about the training loss: its parts as bars, and the cause of the largest one."""

from collections.abc import Sequence

from yolo.evaluate.analysis.report import ClassLoss, LossReport, LossStep
from yolo.pages import svg
from yolo.pages.bar import BarPart, stacked_bar
from yolo.pages.page import count_text
from yolo.pages.svg import ChartFrame, Drawing

WIDTH, HEIGHT = 420.0, 230.0  # so that letters of 11 pixels stay readable on a phone, 340 pixels wide
ROW = 30.0  # the height of a row of horizontal bars
NAME_WIDTH = 110.0
MOST_CLASSES = 12  # in the chart; the table has all
PARTS = (  # field, look in page.css, name
    ("box", "box", "box"),
    ("objectness_object", "objectness_object", "objectness of objects"),
    ("objectness_background", "objectness_background", "objectness of the background"),
    ("classification", "class", "classes"),
)
CLASS_PARTS = (
    ("box", "box", "box"),
    ("objectness", "objectness_object", "objectness"),
    ("classification", "class", "class"),
)


def loss_fractions(loss: LossReport) -> list[tuple[str, str, float, float]]:
    """Return (look, name, mean of an image, fraction of the loss) of each part."""
    total = loss.total
    values = [(look, name, getattr(loss, field)) for field, look, name in PARTS]
    return [(look, name, value, value / total if total else 0.0) for look, name, value in values]


def loss_bar(loss: LossReport) -> Drawing:
    """Draw the parts of the loss as one bar."""
    parts = [
        BarPart(look, fraction, f"{name}: {value:.3g}, {fraction:.1%}")
        for look, name, value, fraction in loss_fractions(loss)
    ]
    return stacked_bar(parts, 16.0, "the loss by part")


def loss_class_chart(classes: Sequence[ClassLoss]) -> Drawing:
    """Draw the mean loss of an object of each class, by part."""
    shown = classes[:MOST_CLASSES]
    most = max((each.total for each in shown), default=0.0) or 1.0
    height = 20 + ROW * max(len(shown), 1)
    frame = ChartFrame(WIDTH, height, NAME_WIDTH, 56, 0, 0, (0, most))
    shapes = [svg.text(0, 11, "mean loss of an object", "axis")]
    for row, each in enumerate(shown):
        x, top = frame.left, 20 + ROW * row
        name = svg.shortened(each.name, NAME_WIDTH - 10, svg.STRONG_SIZE)
        shapes.append(svg.text(frame.left - svg.TICK_GAP, top + 15, name, "strong", "end"))
        for field, look, meaning in CLASS_PARTS:
            value = getattr(each, field)
            width = frame.x(value) - frame.left
            tip = f"{each.name}, {count_text(each.objects, 'object')}: {meaning} {value:.3g}"
            shapes.append(svg.bar(x, top + 2, width, 18, f"part {look}", tip))
            x += width
        shapes.append(svg.text(x + 5, top + 15, f"{each.total:.3g}", "tick"))
    return Drawing(WIDTH, height, shapes, "mean loss of an object by class and part")


def loss_step_chart(steps: Sequence[LossStep]) -> Drawing:
    """Draw the fraction of each part in the loss of the training steps, one above the other."""
    frame = ChartFrame(WIDTH, HEIGHT, 40, 10, 24, 36, (0, max(len(steps), 1)))
    shapes = svg.y_axis(frame, (0.0, 0.25, 0.5, 0.75, 1.0), "fraction of the loss", "{:.0%}".format)
    width = frame.x(1) - frame.left
    for place, each in enumerate(steps):
        values = [(look, name, getattr(each, field)) for field, look, name in PARTS]
        total, low = sum(value for _, _, value in values), 0.0
        span = f"step {each.first}" if each.first == each.last else f"steps {each.first} to {each.last}"
        for look, name, value in values:
            high = low + (value / total if total else 0.0)
            tip = f"{span}, loss {total:.3g}: {name} {value:.3g}"
            top = frame.y(high)
            shapes.append(svg.bar(frame.x(place), top, width + 0.3, frame.y(low) - top, f"part flat {look}", tip))
            low = high
    middle = len(steps) // 2
    ticks = sorted({0, middle, len(steps) - 1})
    shapes += svg.x_axis(frame, (), "step")
    base = frame.height - frame.bottom + 15
    ends = {0: "start", len(steps) - 1: "end"}
    for tick in ticks:
        anchor = ends.get(tick, "middle")
        x = frame.x(tick + (0.0 if anchor == "start" else 1.0 if anchor == "end" else 0.5))
        number = steps[tick].last if anchor == "end" else steps[tick].first
        shapes.append(svg.text(x, base, f"{number:,}", "tick", anchor))
    return Drawing(WIDTH, HEIGHT, shapes, "parts of the loss over the training steps")


def largest_part(loss: LossReport) -> tuple[str, str]:
    """Return the largest part in words, and a sentence about its cause; ("", "") without a loss."""
    if not loss.total:
        return "", ""
    field, _, name = max(PARTS, key=lambda part: getattr(loss, part[0]))
    value = getattr(loss, field)
    largest = f"{name}, {value / loss.total:.0%}"
    if field == "objectness_background":
        each = value / max(loss.background, 1)
        many = f"{loss.background:,.0f} boxes of an image are for no object"
        words = f"It is large because they are many: {many}. Each costs {each:.2g} on average."
        return largest, words
    own = {"objectness_object": "objectness"}.get(field, field)
    if not loss.classes:
        return largest, ""
    worst = max(loss.classes, key=lambda each: getattr(each, own) * each.objects)
    dear = max(loss.classes, key=lambda each: getattr(each, own))
    words = (
        f"Most of it comes from {worst.name}: {count_text(worst.objects, 'object')}, {getattr(worst, own):.3g} each."
    )
    if dear.name != worst.name:
        words += f" A single object costs most if it is {dear.name}: {getattr(dear, own):.3g}."
    return largest, words
