"""The page of one run, made of what `findings.py` found: the numbers, what is behind them, and where they come from."""

from collections.abc import Sequence
from pathlib import Path

from yolo.evaluate.analysis.tide import KINDS
from yolo.evaluate.html.charts import (
    calibration_chart,
    curve_chart,
    error_chart,
    histogram_chart,
    iou_chart,
    size_chart,
)
from yolo.evaluate.html.confusion_view import confusion_view
from yolo.evaluate.html.headline import verdict
from yolo.evaluate.html.image_svg import MEANINGS, image_card, legend
from yolo.evaluate.html.markup import element, table, words
from yolo.evaluate.html.metrics_view import metrics_view
from yolo.evaluate.html.page import card, counted, grid, heading, number, page, record, share, tile

IMAGES_A_LIST = 12  # of those with the most and of those with the costliest errors

CURVES_AT_ONCE = 24

SIDE_TITLE = "side of the object, from so many image pixels on"


def report_page(report: dict) -> str:
    """The whole page; the images are read from where `report` says that they are."""
    parts = [
        *_top(report),
        *metrics_view(report["metrics"]),
        *_errors(report),
        *_images(report),
        *_classes(report),
        *_shapes(report),
        *_scores(report),
        *confusion_view(report["names"], report["confusion"], report["score_thresh"]),
        *about_part([report["about"]]),
    ]
    return page(f"Report: {_title(report['about'])}", parts)


def about_part(runs: Sequence[dict]) -> list[str]:
    """Where the numbers come from; runs: the `about` of each report."""
    keys = ("command", "cfg", "weights", "weights_sha256", "data", "date")
    labels = ("command", "cfg", "weights", "SHA-256 of weights", "data", "date")
    rows = [(label, *(run[key] for run in runs)) for key, label in zip(keys, labels, strict=True)]
    versions = [", ".join(f"{name} {version}" for name, version in run["versions"]) for run in runs]
    heads = ("", "") if len(runs) == 1 else ("", "A", "B")
    return [
        heading("Where this comes from", "Enough to make these numbers again."),
        record([*rows, ("versions", *versions)], heads),
        words(
            "footer",
            "Kinds of error and their costs after TIDE (Bolya et al. 2020, arXiv:2008.08115).",
        ),
    ]


def side_name(size: dict) -> str:
    """`32–64`, or `≥512` for the last step."""
    return f"{size['from']}–{size['to']}" if size["to"] else f"≥{size['from']}"


def _top(report: dict) -> list[str]:
    about, totals, ap = report["about"], report["totals"], report["ap"]
    facts = ", ".join(
        [
            counted(totals["pictures"], "picture"),
            counted(totals["truths"], "labeled object"),
            counted(totals["detections"], "detection"),
            f"{len(report['names'])} class{'' if len(report['names']) == 1 else 'es'}",
        ]
    )
    aside = (
        f"; {totals['difficult']:,} difficult objects not counted" if totals["difficult"] else ""
    )
    least = report["score_thresh"]
    tiles = [
        tile(number(ap["ap50"], 3), "AP50: box half right is right"),
        tile(number(ap["ap"], 3), "AP: mean over IoU .50 to .95"),
        tile(number(ap["ap75"], 3), "AP75: box well fitted"),
        tile(share(totals["precision"]), f"precision at score {least:g}: of the found, right"),
        tile(share(totals["recall"]), f"recall at score {least:g}: of the labeled, found"),
    ]
    return [
        words("h1", _title(about)),
        words("p", f"{facts}{aside}. {about['date']}", class_="sub"),
        grid(tiles, "tiles"),
        verdict(report),
    ]


def _errors(report: dict) -> list[str]:
    errors, least = report["errors"], f"{report['score_thresh']:g}"
    rows = [
        (
            each["kind"],
            f"{each['shown']:,}",
            f"{each['count']:,}",
            number(each["cured"]),
            number(each["cost"]),
        )
        for each in errors
    ]
    heads = ("kind of error", f"seen from {least}", "of all", "AP50 without", "cost")
    meanings = "; ".join(f"{kind}: {meaning}" for kind, meaning in MEANINGS.items())
    chart = error_chart([each["kind"] for each in errors], [[each["cost"] for each in errors]])
    return [
        heading("What goes wrong, and what it costs"),
        grid(
            [
                card(
                    chart,
                    "A bar is how much AP50 would rise if this kind of error alone were cured; the costs do not add "
                    "up. The gray bars cure all false alarms, or all objects not found, at once.",
                ),
                card(
                    table(heads, rows),
                    f"{meanings.capitalize()}. Seen are the errors of detections from score {least} on; all counts "
                    "every detection.",
                ),
            ]
        ),
    ]


def _images(report: dict) -> list[str]:
    wrong = [image for image in report["pictures"] if image["wrong"]]
    if not wrong:
        return [heading("Pictures", "No image has an error that is seen at this score.")]
    costly = sorted((p for p in wrong if p["cost"] > 0), key=lambda p: -p["cost"])[:IMAGES_A_LIST]
    chosen = {id(image) for image in costly}
    most = sorted((p for p in wrong if id(p) not in chosen), key=lambda p: -p["wrong"])
    names, least = report["names"], report["score_thresh"]
    parts = [
        heading(
            "The costliest images",
            f"Detections from score {least:g} on. The cost is what AP50 would gain if the errors of this one image "
            "were cured. Point at a box, or tap it, to read what it is.",
        ),
        legend(),
    ]
    cards = [image_card(p, names, f"costs {p['cost']:.4f} AP50") for p in costly]
    parts.append(grid(cards, "pictures"))
    if most:
        parts.append(heading("The most errors", "Of the other images those where most is wrong."))
        cards = [image_card(p, names, counted(p["wrong"], "error")) for p in most[:IMAGES_A_LIST]]
        parts.append(grid(cards, "pictures"))
    return parts


def _classes(report: dict) -> list[str]:
    classes = report["classes"]
    rows = [
        (
            each["name"],
            f"{each['truths']:,}",
            f"{each['detections']:,}",
            number(each["ap50"]),
            number(each["ap"]),
            share(each["precision"]),
            share(each["recall"]),
            *(f"{each['errors'][kind]:,}" for kind in KINDS),
        )
        for each in classes
    ]
    heads = ("class", "objects", "detections", "AP50", "AP", "precision", "recall", *KINDS)
    worst_first = sorted(classes, key=lambda each: (each["ap50"] is None, each["ap50"] or 0))
    curves = [
        curve_chart(
            each["name"],
            f"AP50 {number(each['ap50'], 3)}, {each['truths']:,} objects",
            [each["curve"]],
        )
        for each in worst_first
    ]
    shown, rest = grid(curves[:CURVES_AT_ONCE], "curves"), grid(curves[CURVES_AT_ONCE:], "curves")
    if len(curves) > CURVES_AT_ONCE:
        more = words("summary", f"The other {len(curves) - CURVES_AT_ONCE} classes")
        shown += element("details", more + rest)
    return [
        heading(
            "Class by class",
            f"Precision, recall and the errors are those from score {report['score_thresh']:g} on.",
        ),
        table(heads, rows),
        card(
            shown,
            "Precision (upwards) over recall, the worst class first: how many of the boxes are right when so many of "
            "the objects are to be found. The filled part is AP50; a curve that ends early never finds the rest.",
            "Precision and recall",
        ),
    ]


def _shapes(report: dict) -> list[str]:
    ap, coco, sides = report["ap"], report["sizes"], report["sides"]
    fine = [each for each in sides if each["truths"]]
    names = [side_name(each) for each in fine]
    by_iou = iou_chart(ap["iou"], [ap["mean"]], ap["classes"])
    by_size = size_chart(
        [each["name"] for each in coco], [each["truths"] for each in coco],
        [[each["ap"] for each in coco]], "COCO's sizes",
    )  # fmt: skip
    by_side = size_chart(
        [f"{each['from']}+" for each in fine], [each["truths"] for each in fine], [[each["ap"] for each in fine]],
        SIDE_TITLE,
    )  # fmt: skip
    rows = [
        (f"{name} pixels", f"{each['truths']:,}", number(each["ap"]))
        for name, each in zip(names, fine, strict=True)
    ]
    return [
        heading("How exact the boxes are, and how size matters"),
        grid(
            [
                card(
                    by_iou,
                    "The thick line is the mean, the thin ones are classes. A line that falls early means boxes that "
                    "are near their objects and do not fit them.",
                    "AP against IoU",
                ),
                card(
                    by_size,
                    "Small is below 32 x 32 pixels, large from 96 x 96 on. Below each name: how many objects it has. A "
                    "bar that rests on few objects means little.",
                    "AP by object size",
                ),
            ]
        ),
        element(
            "section",
            words("h3", "AP by size, in finer steps")
            + grid([by_side, table(("side", "objects", "AP"), rows)])
            + words(
                "p",
                "Side is the square root of the area. Sizes without an object are left out.",
                class_="read",
            ),
            class_="card apart",
        ),
    ]


def _scores(report: dict) -> list[str]:
    scores = report["scores"]
    error = number(scores["calibration"]["error"], 3)
    return [
        heading("What a score is worth"),
        grid(
            [
                card(
                    histogram_chart(scores["right"], scores["wrong"]),
                    "Green are right detections (IoU from .5 on), red wrong ones. Where red is the higher bar a "
                    "detection of this score is more likely wrong: a good place for a threshold is right of there.",
                    "Scores of right and wrong detections",
                ),
                card(
                    calibration_chart([scores["calibration"]]),
                    "On the dashed line a score of .8 is right in 80 % of cases; above it the network is too modest, "
                    f"below it too sure. Large points are many detections. Expected calibration error: {error}.",
                    "Calibration",
                ),
            ]
        ),
    ]


def _title(about: dict) -> str:
    data = Path(about["data"]).stem
    return f"{Path(about['weights']).stem} on {data}" if data else Path(about["weights"]).stem
