"""The table of metrics on a page: the numbers that people quote, and all others folded away."""

from collections.abc import Sequence

from yolo.evaluate.html.markup import element, table, words
from yolo.evaluate.html.page import heading, number

QUOTED = (
    "VOC07 mAP", "VOC area mAP", "Darknet: mAP -points 0", "COCO AP", "COCO AP50", "COCO AP75",
)  # fmt: skip

HEADS = ("metric", "value", "how it is counted")

INTRO = (
    "The same boxes, measured in each of the usual ways. Compare a number from elsewhere with its own row. "
    "All else on this page counts as COCO does: boxes as they are, IoU of at least 0.5."
)


def metrics_view(rows: Sequence[dict]) -> list[str]:
    """The part of the page; rows: `metric`, `value` and `conventions` of each. Nothing where there are none.

    Where none of them is one of QUOTED, all are shown.
    """
    if not rows:
        return []
    quoted = [row for row in rows if row["metric"] in QUOTED] or list(rows)
    others = [row for row in rows if row not in quoted]
    shown = [heading("What the score is, by whose rules", INTRO), _table(quoted)]
    if others:
        more = words("summary", f"The other {len(others)} numbers, with theirs")
        shown.append(element("details", more + _table(others)))
    return shown


def _table(rows: Sequence[dict]) -> str:
    cells = [(row["metric"], number(row["value"], 6), row["conventions"]) for row in rows]
    return table(HEADS, cells, "prose")
