"""The page of one report: `report.html.jinja` and the records that it shows."""

from collections.abc import Sequence
from pathlib import Path

from yolo.evaluate.analysis.json_records import json_text
from yolo.evaluate.analysis.report import REPORT_FILE, About, ErrorReport, LossReport, Report, ReportRow
from yolo.evaluate.analysis.tide import KINDS
from yolo.evaluate.html import charts
from yolo.evaluate.html.image_svg import MEANINGS, image_card, legend
from yolo.evaluate.html.loss_charts import largest_part, loss_bar, loss_class_chart, loss_fractions, loss_step_chart
from yolo.evaluate.metrics.table import format_ap
from yolo.pages.page import count_text, render, write_page

TEMPLATES = Path(__file__).parent / "templates"
IMAGES_PER_LIST = 12  # of the most costly errors, and of the most errors
SIDE_TITLE = "side of the object in pixels, from"
MOST_IN_A_TABLE = 14  # classes; the confusion matrix of more does not fit across a page
MOST_CONFUSIONS = 15

QUOTED = (
    "VOC07 mAP", "VOC area mAP", "Darknet: mAP -points 0", "COCO AP", "COCO AP50", "COCO AP75",
)  # fmt: skip


def write_report(folder: str | Path, report: Report, explained: tuple[str, str] | None = None) -> Path:
    """Write the page of a report and its report.json, and return the page's path; raises OSError.

    explained: a class whose average precision has a page of its own, and the address of that page.
    """
    return write_page(folder, report_page(report, explained), REPORT_FILE, json_text(report))


def report_page(report: Report, explained: tuple[str, str] | None = None) -> str:
    """Return the page; the images are read from the paths in the report. explained: as of `write_report`."""
    with_errors = [image for image in report.images if image.errors]
    costly = [image for image in with_errors if image.cost > 0]
    costly = sorted(costly, key=lambda image: -image.cost)[:IMAGES_PER_LIST]
    others = [image for image in with_errors if image not in costly]
    most_errors = sorted(others, key=lambda image: -image.errors)[:IMAGES_PER_LIST]
    quoted, other_metrics = quoted_metrics(report.metrics)
    sides = [each for each in report.sides if each.ground_truths]
    worst = costliest_error(report.errors)
    names, many = report.names, len(report.names) > MOST_IN_A_TABLE
    labels = (*names, "background")
    return render(
        TEMPLATES,
        "report.html.jinja",
        report=report,
        explained=explained,
        title=_title(report.about),
        kinds=list(KINDS),
        meanings="; ".join(f"{kind}: {meaning}" for kind, meaning in MEANINGS.items()),
        worst=worst,
        worst_meaning=worst and MEANINGS[worst.kind],
        quoted_metrics=quoted,
        other_metrics=other_metrics,
        error_chart=charts.error_chart([report.errors]),
        costly=[image_card(each, names, f"costs {each.cost:.4f} AP50") for each in costly],
        most_errors=[image_card(each, names, count_text(each.errors, "error")) for each in most_errors],
        legend_samples=legend(),
        class_curves=[
            charts.curve_chart(
                each.name,
                f"AP50 {format_ap(each.ap50, 3)}, {count_text(each.ground_truths, 'object')}",
                [each.curve],
            )
            for each in sorted(report.classes, key=lambda each: (each.ap50 is None, each.ap50 or 0))
        ],
        iou_chart=charts.iou_chart(report.ap.iou, [report.ap.mean], report.ap.classes),
        size_chart=charts.size_chart([each.name for each in report.sizes], [report.sizes], "COCO's sizes"),
        side_chart=charts.size_chart([f"{each.low}+" for each in sides], [sides], SIDE_TITLE),
        sides=sides,
        histogram_chart=charts.histogram_chart(report.scores.true_positives, report.scores.false_positives),
        calibration_chart=charts.calibration_chart([report.scores.calibration]),
        heat_chart=charts.heat_chart(labels, report.confusion) if many else None,
        confused=most_confused(labels, report.confusion),
        loss=_loss_content(report.loss) if report.loss else None,
    )


def _loss_content(loss: LossReport) -> dict[str, object]:
    """Return the content of the section about the loss."""
    largest, why = largest_part(loss)
    return {
        "report": loss,
        "fractions": loss_fractions(loss),
        "bar": loss_bar(loss),
        "largest": largest,
        "why": why,
        "class_chart": loss_class_chart(loss.classes) if loss.classes else None,
        "step_chart": loss_step_chart(loss.steps) if loss.steps else None,
    }


def costliest_error(errors: Sequence[ErrorReport]) -> ErrorReport | None:
    """Return the kind of error with the largest cost; None without ground truth."""
    with_cost = [each for each in errors if each.kind in KINDS and each.cost is not None]
    return max(with_cost, key=lambda each: each.cost, default=None)


def quoted_metrics(rows: Sequence[ReportRow]) -> tuple[list[ReportRow], list[ReportRow]]:
    """Split the metrics into those that are usually quoted and all others; without a quoted one all are in the
    first."""
    quoted = [row for row in rows if row.metric in QUOTED] or [*rows]
    return quoted, [row for row in rows if row not in quoted]


def most_confused(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[tuple[int, str, str]]:
    """Return (count, class, detected as) of the largest numbers off the diagonal."""
    pairs = [
        (number, labels[row], labels[column])
        for row, numbers in enumerate(matrix)
        for column, number in enumerate(numbers)
        if row != column and number
    ]
    return sorted(pairs, key=lambda pair: -pair[0])[:MOST_CONFUSIONS]


def _title(about: About) -> str:
    data = about.data_name or Path(about.data).stem
    return f"{Path(about.weights).stem} on {data}" if data else Path(about.weights).stem
