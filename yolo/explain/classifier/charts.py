"""The charts of a classifier's page."""

from collections.abc import Sequence

from yolo.evaluate.metrics.calibration import Calibration
from yolo.explain.classifier.report import ClassAccuracy
from yolo.pages import svg
from yolo.pages.page import count_text
from yolo.pages.svg import ChartFrame, Drawing

WIDTH, HEIGHT = 420.0, 300.0
ROOM_OF_COUNTS = 46.0  # pixels below the diagram, for the number of images in each bin
TENTHS = tuple(step / 10 for step in range(0, 11, 2))
ROW = 24.0  # height of a class
BINS = 10  # of the histogram of classes


def reliability_chart(found: Calibration) -> Drawing:
    """Draw the accuracy in each bin of probability, its distance from the diagonal, and the number of images."""
    frame = ChartFrame(WIDTH, HEIGHT, 40, 10, 24, 36 + ROOM_OF_COUNTS)
    base, bins = frame.y(0), len(found.count)
    shapes = svg.y_axis(frame, TENTHS, "accuracy")
    most = max(*found.count, 1)
    for place, (count, score, accuracy) in enumerate(zip(found.count, found.score, found.precision, strict=True)):
        left, right = frame.x(place / bins), frame.x((place + 1) / bins)
        if not count:
            continue
        tip = f"probability {score:.3f} on average: {accuracy:.1%} of {count:,} are correct"
        top, ideal = frame.y(accuracy), frame.y(score)
        full = max(top, ideal)  # the lower one: y grows downwards
        shapes.append(svg.bar(left + 1, full, right - left - 2, base - full, "solid run-a", tip))
        look = "more" if accuracy > score else "less"
        shapes.append(svg.bar(left + 1, min(top, ideal), right - left - 2, abs(top - ideal), look, tip))
        height = (ROOM_OF_COUNTS - 8) * count / most
        shapes.append(svg.bar(left + 1, HEIGHT - 34 - height, right - left - 2, max(height, 1), "counts", tip))
    shapes.append(svg.line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "dashed"))
    shapes.append(svg.line(frame.left, base, WIDTH - frame.right, base, "base"))
    shapes.append(svg.line(frame.left, HEIGHT - 34, WIDTH - frame.right, HEIGHT - 34, "base"))
    shapes += [svg.text(frame.x(tick), HEIGHT - 20, f"{tick:g}", "tick", "middle") for tick in TENTHS]
    shapes.append(svg.text((frame.left + WIDTH - frame.right) / 2, HEIGHT - 4, "probability of the likeliest class",
                           "axis", "middle"))  # fmt: skip
    shapes.append(svg.text(0, HEIGHT - 36, "images", "faint"))
    return Drawing(WIDTH, HEIGHT, shapes, "accuracy over the probability of the likeliest class")


def accuracy_chart(classes: Sequence[ClassAccuracy], k: int) -> Drawing:
    """Draw top-1 and top-k accuracy of each class, the lowest first."""
    rows = sorted((each for each in classes if each.images), key=lambda each: (each.top_1, each.top_k))
    bottom = ROW * max(len(rows), 1)
    frame = ChartFrame(WIDTH, bottom + 38, 118, 46, 0, 38)
    shapes = svg.x_axis(frame, TENTHS, f"accuracy: top-1, pale: top-{k}")
    for place, each in enumerate(rows):
        top, height = place * ROW + 3, ROW - 8
        tip = f"{each.name}: {each.first:,} of {each.images:,} first, {each.among:,} among {k}"
        name = svg.shortened(each.name, 104, svg.STRONG_SIZE)
        shapes.append(svg.text(111, top + height - 4, name, "tick strong", "end"))
        shapes.append(svg.bar(frame.left, top, frame.x(each.top_k) - frame.left, height, "pale run-a", tip))
        shapes.append(svg.bar(frame.left, top, frame.x(each.top_1) - frame.left, height, "solid run-a", tip))
        shapes.append(svg.text(frame.x(each.top_k) + 5, top + height - 4, f"{each.top_1:.0%}", "tick"))
    return Drawing(WIDTH, bottom + 38, shapes, f"top-1 and top-{k} accuracy of each class", "classes")


def class_histogram(classes: Sequence[ClassAccuracy]) -> Drawing:
    """Draw how many classes have which top-1 accuracy."""
    counts = [0] * BINS
    for each in classes:
        if each.images:
            counts[min(int(each.top_1 * BINS), BINS - 1)] += 1
    frame = ChartFrame(WIDTH, HEIGHT, 40, 10, 24, 36, (0, 1), (0, max(*counts, 1) * 1.05))
    shapes = [
        *svg.y_axis(frame, svg.nice_ticks(0, max(*counts, 1)), "classes", "{:,g}".format),
        *svg.x_axis(frame, TENTHS, "top-1 accuracy of a class"),
    ]
    for place, count in enumerate(counts):
        left, right, top = frame.x(place / BINS), frame.x((place + 1) / BINS), frame.y(count)
        tip = f"{count_text(count, 'class')} with an accuracy of {place / BINS:.0%} to {(place + 1) / BINS:.0%}"
        shapes.append(svg.bar(left + 1, top, right - left - 2, frame.y(0) - top, "solid run-a", tip))
    return Drawing(WIDTH, HEIGHT, shapes, "number of classes over their accuracy", "classes")
