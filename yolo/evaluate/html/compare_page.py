"""The page that compares two reports: `compare.html.jinja` and the records that it shows."""

from dataclasses import replace
from itertools import compress
from pathlib import Path

from yolo.evaluate.analysis.compare import BETTER, WORSE, Comparison, image_line, image_words, step_text
from yolo.evaluate.analysis.json_records import json_text
from yolo.evaluate.analysis.report import Report
from yolo.evaluate.html import charts
from yolo.evaluate.html.image_svg import ImageCard, image_card, legend
from yolo.evaluate.html.report_page import SIDE_TITLE, TEMPLATES
from yolo.pages.page import number_text, render, write_page

COMPARISON_FILE = "comparison.json"
PAIRS_SHOWN = 12
HEADLINES = 5  # of the metrics, shown large


def write_comparison(folder: str | Path, a: Report, b: Report, comparison: Comparison) -> Path:
    """Write the page of two reports and comparison.json, and return the path of the page.

    Args:
        folder: gets index.html and comparison.json.
        a, b: the two reports.
        comparison: of the two.

    Raises:
        OSError: a file cannot be written.
    """
    return write_page(folder, compare_page(a, b, comparison), COMPARISON_FILE, json_text(comparison))


def compare_page(a: Report, b: Report, comparison: Comparison) -> str:
    """Return the page; the images are read from the paths in report `b`."""
    runs = (a, b)
    important = (*comparison.metrics[:HEADLINES], *comparison.errors)
    classes = [*zip(comparison.classes, a.classes, b.classes, strict=True)]
    classes.sort(key=lambda each: -abs(each[0].step or 0))
    used = [bool(each.ground_truths) for each in a.sides]
    sides = [list(compress(run.sides, used)) for run in runs]
    return render(
        TEMPLATES,
        "compare.html.jinja",
        runs=runs,
        comparison=comparison,
        step_text=step_text,
        headlines=HEADLINES,
        better=[change.name for change in important if change.trend == BETTER],
        worse=[change.name for change in important if change.trend == WORSE],
        error_chart=charts.error_chart([run.errors for run in runs]),
        classes=[change for change, _, _ in classes],
        class_curves=[
            charts.curve_chart(
                change.name,
                f"AP50 {number_text(change.a)[:5]} to {number_text(change.b)[:5]}",
                [left.curve, right.curve],
            )
            for change, left, right in classes
        ],
        iou_chart=charts.iou_chart(a.ap.iou, [run.ap.mean for run in runs], []),
        size_chart=charts.size_chart([each.name for each in a.sizes], [run.sizes for run in runs], "COCO's sizes"),
        side_chart=charts.size_chart([f"{each.low}+" for each in sides[0]], sides, SIDE_TITLE),
        calibration_chart=charts.calibration_chart([run.scores.calibration for run in runs]),
        image_line=image_line(comparison.images, len(b.images)),
        legend_samples=legend(),
        image_pairs=_image_pairs(a, b, comparison),
    )


def _image_pairs(a: Report, b: Report, comparison: Comparison) -> list[tuple[ImageCard, ImageCard]]:
    """Return the images with the most changes before and after."""
    return [
        (
            image_card(
                replace(a.images[change.index], path=b.images[change.index].path),
                a.names,
                f"A: {change.name}",
            ),
            image_card(b.images[change.index], b.names, f"B: {image_words(change)}"),
        )
        for change in comparison.images[:PAIRS_SHOWN]
    ]
