"""A table of all metrics, each with its conventions, for comparison with numbers from other scorers."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from terminaltables import AsciiTable

from yolo.evaluate.metrics.all import AllMetrics
from yolo.evaluate.metrics.coco import CocoScore
from yolo.evaluate.metrics.darknet import MAP_SCORE_THRESH, POINTS, DarknetMap
from yolo.evaluate.metrics.operating_point import OperatingPoint, combine_classes
from yolo.evaluate.metrics.table import average_precisions, class_table, format_ap, mean_line, summary
from yolo.evaluate.metrics.voc import ClassScore, mean_ap

DIGITS = 6  # two scorers that agree to this digit use the same rules
BACKGROUND, UNDETECTED = "background", "missed"  # in the JSON
SHOWN_CONFUSIONS = 5

HEADINGS = (
    "metric", "value", "recalls", "IoU of a TP", "sides", "difficult", "scores",
    "no ground truth", "as in",
)  # fmt: skip


@dataclass(frozen=True)
class MetricRow:
    """One number and its conventions, in words; the names of the fields are keys of the JSON.

    value: None where the number does not exist. hit: the IoU of a true positive.
    """

    metric: str = ""
    value: float | int | None = None
    recalls: str = ""
    hit: str = ""
    sides: str = "as they are"
    difficult: str = "ignored"
    scores: str = "all"
    empty_class: str = "left out"
    reported_by: str = ""

    @property
    def conventions(self) -> str:
        """All conventions as one phrase."""
        recalls = f"recalls: {self.recalls}; " if self.recalls != NO_RECALLS else ""
        return (
            f"{recalls}IoU {self.hit}; box sides {self.sides}; difficult ground truth {self.difficult}; "
            f"scores {self.scores}; class without ground truth {self.empty_class}"
        )


# The conventions of each family, as the table shows them
VOC = MetricRow(sides="+ 1 pixel")
DARKNET = MetricRow(scores=f"> {MAP_SCORE_THRESH:g}", empty_class="is 0", reported_by="detector map")
COCO = MetricRow(
    recalls="101", hit=">= .5 to .95", difficult="ignored, as crowd", scores="best 100",
    reported_by="pycocotools",
)  # fmt: skip

COCO_ROWS = (
    ("AP", "ap", {"reported_by": "COCO's first"}),
    ("AP50", "ap50", {"hit": ">= .5", "reported_by": "most papers' AP50"}),
    ("AP75", "ap75", {"hit": ">= .75"}),
    ("AP small", "ap_small", {"difficult": "ignored, other sizes too"}),
    ("AP medium", "ap_medium", {"difficult": "ignored, other sizes too"}),
    ("AP large", "ap_large", {"difficult": "ignored, other sizes too"}),
    ("AR 1", "ar1", {"recalls": "recall", "scores": "best 1"}),
    ("AR 10", "ar10", {"recalls": "recall", "scores": "best 10"}),
    ("AR 100", "ar100", {"recalls": "recall"}),
    ("AR small", "ar_small", {"recalls": "recall", "difficult": "ignored, other sizes too"}),
    ("AR medium", "ar_medium", {"recalls": "recall", "difficult": "ignored, other sizes too"}),
    ("AR large", "ar_large", {"recalls": "recall", "difficult": "ignored, other sizes too"}),
)

COCO_LINE = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")  # in one line of text
DARKNET_RECALLS = {0: "each step: area", 11: "11 tenths", 101: "101 hundredths"}
NO_RECALLS = "none"  # of metrics at one threshold
WITH_LIST, WITHOUT_LIST = "ignored, last", "FP"


def metric_rows(metrics: AllMetrics) -> list[MetricRow]:
    """Return every number of all classes with its conventions, grouped by family."""
    return [
        *_voc_rows(metrics),
        *_darknet_maps(metrics.darknet, metrics, "Darknet", WITH_LIST),
        *_darknet_maps(metrics.darknet_plain, metrics, "Darknet, no list", WITHOUT_LIST),
        *_darknet_counts(metrics),
        *(
            replace(COCO, metric=f"COCO {name}", value=getattr(metrics.coco, field), **other)
            for name, field, other in COCO_ROWS
        ),
    ]


def average_precision_summary(
    names: Sequence[str],
    scores: Sequence[ClassScore],
    coco: CocoScore | None,
    metrics: Sequence[str],
    iou_thresh: float,
) -> tuple[str, dict]:
    """Return some metrics as a table with their means, and the same numbers for json.dumps.

    Args:
        names: the classes.
        scores: of each class by VOC's rules.
        coco: the score by COCO's rules, needed for the metric "coco".
        metrics: some of "voc07", "area", "coco".
        iou_thresh: the IoU threshold of `scores`.
    """
    columns = {metric: coco.class_ap if metric == "coco" else average_precisions(scores, metric) for metric in metrics}
    ground_truths = [score.match.ground_truths for score in scores]
    detections = [score.match.detections for score in scores]
    lines = [class_table(names, ground_truths, detections, columns), mean_line(columns)]
    content = summary(names, iou_thresh, columns)
    if "coco" in metrics:
        content["coco"] = {row: getattr(coco, field) for row, field, _ in COCO_ROWS}
        values = (f"{row} {format_ap(content['coco'][row])}" for row in COCO_LINE)
        lines.append("coco " + "  ".join(values))
    return "\n".join(lines), content


LEGEND = """\
recalls: where the precision is read, "none" for metrics at one threshold; "as floats": 3 * .1 is larger than 3/10.
sides: "+ 1 pixel" is x2 - x1 + 1. scores: which detections count; COCO takes the best of each image.
difficult: "ignored" means a detection of it is neither TP nor FP, "last" only if no other ground truth matches.
no ground truth: a class without ground truth is left out of the mean, is 0 in it, or its FP are counted with all
others."""


def everything_text(metrics: AllMetrics) -> str:
    """Format what `--metric all` prints: the metrics, the classes at the score threshold, the confusions."""
    table = conventions_table(metric_rows(metrics))
    return "\n".join((table, LEGEND, counts_table(metrics), confusions_line(metrics)))


def conventions_table(rows: Sequence[MetricRow]) -> str:
    """Format the metrics as a table."""
    body = [[row.metric, _shown(row.value), *(str(each) for each in list(asdict(row).values())[2:])] for row in rows]
    table = AsciiTable([list(HEADINGS), *body])
    table.justify_columns = {1: "right"}
    return table.table


def counts_table(metrics: AllMetrics) -> str:
    """Format one row per class with its counts at the score threshold and its log-average miss rate."""
    body = [
        [name, *_point_cells(point), format_ap(rate)]
        for name, point, rate in zip(metrics.names, metrics.points, metrics.miss_rates, strict=True)
    ]
    every = combine_classes(metrics.points)
    table = AsciiTable(
        [
            [f"score > {metrics.score_thresh:g}", "TP", "FP", "FN", "precision", "recall",
             "F1", "mean IoU", "miss rate"],
            *body,
            ["all", *_point_cells(every), format_ap(mean_ap(metrics.miss_rates))],
        ]
    )  # fmt: skip
    table.inner_footing_row_border = True
    table.justify_columns = {column: "right" for column in range(1, 9)}
    return table.table


def confusions_line(metrics: AllMetrics) -> str:
    """Format the most frequent confusions of two classes: `detected as another class: dog as cat 12, ...`."""
    counts = metrics.confusion[:-1, :-1].copy()
    counts[range(len(counts)), range(len(counts))] = 0
    worst = counts.argsort(axis=None, kind="stable")[::-1][:SHOWN_CONFUSIONS]
    pairs = [divmod(int(place), len(counts)) for place in worst]
    words = [
        f"{metrics.names[label]} as {metrics.names[detected]} {counts[label, detected]}"
        for label, detected in pairs
        if counts[label, detected]
    ]
    return f"detected as another class: {', '.join(words) or 'none'}"


def metrics_record(metrics: AllMetrics) -> dict:
    """Return all digits of all metrics, for json.dumps; None where a number does not exist."""
    names = metrics.names
    return {
        "rows": [{**asdict(row), "conventions": row.conventions} for row in metric_rows(metrics)],
        "score_thresh": metrics.score_thresh,
        "darknet": _darknet_record(metrics.darknet, names),
        "darknet_without_difficult_list": _darknet_record(metrics.darknet_plain, names),
        "coco": {
            **{name: getattr(metrics.coco, field) for name, field, _ in COCO_ROWS},
            "classes": dict(zip(names, metrics.coco.class_ap, strict=True)),
        },
        "counts": {
            "together": _point_record(combine_classes(metrics.points)),
            "classes": dict(zip(names, map(_point_record, metrics.points), strict=True)),
        },
        "log_average_miss_rate": {
            "mean": mean_ap(metrics.miss_rates),
            "classes": dict(zip(names, metrics.miss_rates, strict=True)),
        },
        "confusion": {
            "rows_truth": [*names, BACKGROUND],
            "columns_detected": [*names, UNDETECTED],
            "counts": metrics.confusion.tolist(),
        },
    }


def _voc_rows(metrics: AllMetrics) -> Iterator[MetricRow]:
    kind = replace(VOC, hit=f"> {metrics.iou_thresh:g}")
    for title, name, recalls, who in (
        ("VOC07 mAP", "voc07", "11 tenths, as floats", "VOC2007, voc_eval"),
        ("VOC area mAP", "area", "each step: area", "VOC2010 and later"),
    ):
        value = mean_ap(average_precisions(metrics.voc, name))
        yield replace(kind, metric=title, value=value, recalls=recalls, reported_by=who)
    at_thresh = replace(kind, recalls=NO_RECALLS, scores=f"> {metrics.score_thresh:g}", reported_by="ours")
    every = combine_classes(metrics.points)
    for name, value in (
        ("precision", every.precision),
        ("recall", every.recall),
        ("F1", every.f1),
        ("mean IoU of the hits", every.mean_iou),
    ):
        yield replace(at_thresh, metric=name, value=value, empty_class="counts")
    yield replace(
        kind,
        metric="log-average miss rate",
        value=mean_ap(metrics.miss_rates),
        recalls="9 rates of FP",
        reported_by="Dollár; 0 is best",
    )


def _darknet_maps(result: DarknetMap, metrics: AllMetrics, title: str, difficult: str) -> Iterator[MetricRow]:
    for points in POINTS:
        yield replace(
            DARKNET,
            metric=f"{title}: mAP -points {points}",
            value=result.mean_ap[points],
            recalls=DARKNET_RECALLS[points],
            hit=f"> {metrics.iou_thresh:g}",
            difficult=difficult,
        )


def _darknet_counts(metrics: AllMetrics) -> Iterator[MetricRow]:
    """Return the metrics at the threshold, where Darknet counts difficult boxes as false positives with and without
    a list."""
    kind = replace(
        DARKNET,
        recalls=NO_RECALLS,
        hit=f"> {metrics.iou_thresh:g}",
        difficult=WITHOUT_LIST,
        scores=f"> {metrics.score_thresh:g}",
        empty_class="counts",
    )
    point = metrics.darknet.point
    for name, value in (
        ("precision", point.precision),
        ("recall", point.recall),
        ("F1-score", point.f1),
        ("average IoU, false as 0", point.darknet_iou),
        ("TP", point.true_positives),
        ("FP", point.false_positives),
        ("FN", point.false_negatives),
    ):
        yield replace(kind, metric=f"Darknet: {name}", value=value)


def _darknet_record(result: DarknetMap, names: Sequence[str]) -> dict:
    return {
        "mAP": {f"points {points}": result.mean_ap[points] for points in POINTS},
        "counts": _point_record(result.point),
        "classes": {
            name: {
                **{f"AP points {points}": each.ap[points] for points in POINTS},
                **_point_record(each.point),
            }
            for name, each in zip(names, result.classes, strict=True)
        },
    }


def _point_record(point: OperatingPoint) -> dict:
    return {
        "TP": point.true_positives,
        "FP": point.false_positives,
        "FN": point.false_negatives,
        "precision": point.precision,
        "recall": point.recall,
        "F1": point.f1,
        "mean IoU of hits": point.mean_iou,
        "average IoU, false as 0": point.darknet_iou,
    }


def _point_cells(point: OperatingPoint) -> list[str]:
    counts = point[:3]
    ratios = (point.precision, point.recall, point.f1, point.mean_iou)
    return [*map(str, counts), *map(format_ap, ratios)]


def _shown(value: float | int | None) -> str:
    return str(value) if isinstance(value, int) else format_ap(value, DIGITS)
