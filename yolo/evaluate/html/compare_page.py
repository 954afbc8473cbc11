"""The page of two runs side by side: what changed in the numbers, and the images that changed, both ways."""

from collections.abc import Iterable
from pathlib import Path

from yolo.evaluate.analysis.compare import (
    BETTER,
    WORSE,
    Change,
    Comparison,
    image_line,
    image_words,
    number_of,
    step_of,
)
from yolo.evaluate.html.charts import (
    SERIES,
    calibration_chart,
    curve_chart,
    error_chart,
    iou_chart,
    size_chart,
)
from yolo.evaluate.html.image_svg import image_card, legend
from yolo.evaluate.html.markup import element, words
from yolo.evaluate.html.page import card, grid, heading, page, tile
from yolo.evaluate.html.report_page import CURVES_AT_ONCE, SIDE_TITLE, about_part

PAIRS_SHOWN = 12

TILES = 5  # of the headline numbers


def compare_page(a: dict, b: dict, comparison: Comparison) -> str:
    """The whole page; the images are read from where report `b` says that they are."""
    runs = a, b
    parts = [
        words("h1", "Two runs side by side"),
        _key(runs),
        grid([_tile(change) for change in comparison.metrics[:TILES]], "tiles"),
        element("section", words("p", _sentence(comparison)), class_="card verdict"),
        heading("The scores"),
        _changes("metric", comparison.metrics),
        heading("What goes wrong, and what it costs"),
        grid(
            [
                _error_card(runs),
                card(_changes("AP50 lost to", comparison.errors), "Less is better."),
            ]
        ),
        *_classes(runs, comparison),
        *_shapes(runs),
        *_images(runs, comparison),
        *about_part([run["about"] for run in runs]),
    ]
    return page("Two runs side by side", parts)


def _error_card(runs: tuple[dict, dict]) -> str:
    kinds = [each["kind"] for each in runs[0]["errors"]]
    return card(
        error_chart(kinds, [[each["cost"] for each in run["errors"]] for run in runs]),
        "What AP50 loses to each kind of error; the paler bar is A, the full one below it B. Shorter is better.",
    )


def _key(runs: Iterable[dict]) -> str:
    entries = [
        element("span", f"<i></i>{words('b', letter)} {words('span', _name(run))}", class_=style)
        for letter, style, run in zip("AB", SERIES, runs, strict=True)
    ]
    return element("div", "".join(entries), class_="key")


def _name(run: dict) -> str:
    about = run["about"]
    return f"{Path(about['cfg']).name}, {Path(about['weights']).name}, {about['date']}"


def _sentence(comparison: Comparison) -> str:
    """What got better and what got worse, in one breath."""
    steps = [change for change in (*comparison.metrics[:TILES], *comparison.errors)]
    told = []
    for verdict in (BETTER, WORSE):
        names = [change.name for change in steps if change.verdict == verdict]
        told.append(f"{verdict.capitalize()}: {', '.join(names) or 'nothing'}.")
    return " ".join(told)


def _tile(change: Change) -> str:
    step = words("em", _step(change), class_=change.verdict) if change.step else ""
    return tile(number_of(change.b), f"{change.name}, A {number_of(change.a)}", step)


def _step(change: Change) -> str:
    """`+0.0100 better`: in words, as color alone does not reach everybody."""
    return f"{step_of(change)} {change.verdict}".strip()


def _changes(title: str, changes: Iterable[Change]) -> str:
    heads = "".join(words("th", head, scope="col") for head in (title, "A", "B", "change"))
    rows = []
    for change in changes:
        rows.append(
            element(
                "tr",
                words("th", change.name, scope="row")
                + words("td", number_of(change.a))
                + words("td", number_of(change.b))
                + words("td", _step(change), class_=change.verdict.replace("/", "")),
            )
        )
    body = element("thead", element("tr", heads)) + element("tbody", "".join(rows))
    return element("div", element("table", body), class_="scroll")


def _classes(runs: tuple[dict, dict], comparison: Comparison) -> list[str]:
    pairs = [*zip(comparison.classes, *(run["classes"] for run in runs), strict=True)]
    pairs.sort(key=lambda each: -abs(each[0].step or 0))
    curves = [
        curve_chart(
            change.name,
            f"AP50 {number_of(change.a)[:5]} to {number_of(change.b)[:5]}",
            [left["curve"], right["curve"]],
        )
        for change, left, right in pairs
    ]
    shown, rest = grid(curves[:CURVES_AT_ONCE], "curves"), grid(curves[CURVES_AT_ONCE:], "curves")
    if len(curves) > CURVES_AT_ONCE:
        more = words("summary", f"The other {len(curves) - CURVES_AT_ONCE} classes")
        shown += element("details", more + rest)
    read = "Precision over recall; the solid line is A, the dashed one B. The class that changed most comes first."
    return [
        heading("Class by class"),
        _changes("AP50 of class", [change for change, _, _ in pairs]),
        heading("Precision and recall"),
        card(shown, read),
    ]


def _shapes(runs: tuple[dict, dict]) -> list[str]:
    a = runs[0]
    coco = [each["name"] for each in a["sizes"]]
    held = [place for place, each in enumerate(a["sides"]) if each["truths"]]
    sides = [f"{a['sides'][place]['from']}+" for place in held]
    ground_truths = [a["sides"][place]["truths"] for place in held]
    fine = [[run["sides"][place]["ap"] for place in held] for run in runs]
    sizes = size_chart(
        coco, [each["truths"] for each in a["sizes"]],
        [[each["ap"] for each in run["sizes"]] for run in runs], "COCO's sizes",
    )  # fmt: skip
    by_side = size_chart(sides, ground_truths, fine, SIDE_TITLE)
    return [
        heading("Exactness, size, calibration"),
        grid(
            [
                card(
                    iou_chart(a["ap"]["iou"], [run["ap"]["mean"] for run in runs], []),
                    "Mean AP over the IoU that counts as found. Lines that part to the right differ in how exact the "
                    "boxes are.",
                    "AP against IoU",
                ),
                card(
                    sizes,
                    "A on the left, B on the right of each pair; below the name: how many objects.",
                    "AP by object size",
                ),
                card(by_side, "The same in finer steps.", "AP by size, in finer steps"),
                card(
                    calibration_chart([run["scores"]["calibration"] for run in runs]),
                    "How often a score is right. The nearer to the dashed diagonal, the more a score can be believed.",
                    "Calibration",
                ),
            ]
        ),
    ]


def _images(runs: tuple[dict, dict], comparison: Comparison) -> list[str]:
    changed, names = comparison.images, runs[1]["names"]
    line = image_line(changed, len(runs[1]["pictures"]))
    parts = [
        heading("Images that changed", f"{line}. A is on the left, B on the right."),
        legend(),
    ]
    for change in changed[:PAIRS_SHOWN]:
        before, after = (run["pictures"][change.index] for run in runs)
        cards = [
            image_card({**before, "path": after["path"]}, names, f"A: {change.name}"),
            image_card(after, names, f"B: {image_words(change)}"),
        ]
        parts.append(grid(cards, "pair images"))
    return parts
