"""The confusion matrix as a table, or as an image where the classes are many, and the pairs most often mixed up."""

from collections.abc import Sequence

from yolo.evaluate.html.charts import heat_chart
from yolo.evaluate.html.markup import element, table, words
from yolo.evaluate.html.page import card, heading

MOST_IN_A_TABLE = 14  # classes; more do not fit across a page

MOST_PAIRS = 15

STRONGEST = 0.75  # of the color behind a number

BACKGROUND = "background"

READ = (
    "A row is what an object was, a column what it was taken for; the diagonal is right. The last column holds "
    "what was not found, the last row boxes where nothing is."
)


def confusion_view(
    names: Sequence[str], matrix: Sequence[Sequence[int]], score_thresh: float
) -> list[str]:
    """The part of the page; matrix: [classes + 1][classes + 1], rows ground truth, background last."""
    labels = [*names, BACKGROUND]
    intro = (
        f"Detections from score {score_thresh:g} on, each with the object that it covers best (IoU from .5 on), "
        "whatever its class."
    )
    top = heading("What is taken for what", intro)
    if len(names) <= MOST_IN_A_TABLE:
        return [top, card(_table(labels, matrix), READ)]
    pairs = table(("it was", "taken for", "times"), _most_mixed(labels, matrix))
    return [top, card(heat_chart(labels, matrix), READ), card(pairs, "The most frequent mistakes.")]


def _table(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    heads = words("th", "was \\ taken for") + "".join(
        words("th", name, scope="col") for name in labels
    )
    rows = []
    for row, numbers in enumerate(matrix):
        total = max(sum(numbers), 1)
        cells = "".join(
            _cell(number, number / total, row == column) for column, number in enumerate(numbers)
        )
        rows.append(element("tr", words("th", labels[row], scope="row") + cells))
    content = element("thead", element("tr", heads)) + element("tbody", "".join(rows))
    return element("div", element("table", content, class_="confusion"), class_="scroll")


def _cell(number: int, part: float, right: bool) -> str:
    if number == 0:
        return words("td", "0", class_="zero")
    color, strength = "var(--good)" if right else "var(--bad)", round(100 * STRONGEST * part)
    style = f"background:color-mix(in srgb, {color} {max(strength, 4)}%, transparent)"
    return words("td", f"{number:,}", style=style, data_tip=f"{part:.1%} of its row")


def _most_mixed(
    labels: Sequence[str], matrix: Sequence[Sequence[int]]
) -> list[tuple[str, str, str]]:
    pairs = [
        (number, labels[row], labels[column])
        for row, numbers in enumerate(matrix)
        for column, number in enumerate(numbers)
        if row != column and number
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [(was, taken, f"{number:,}") for number, was, taken in pairs[:MOST_PAIRS]]
