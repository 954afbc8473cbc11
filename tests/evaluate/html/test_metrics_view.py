"""yolo.evaluate.html.metrics_view: which numbers are shown at once, and that none is lost."""

from yolo.evaluate.html.metrics_view import metrics_view


def rows_of(*names):
    return [
        {"metric": name, "value": 0.5 + number, "conventions": f"rule {name}"}
        for number, name in enumerate(names)
    ]


def test_quoted_numbers_come_first_and_the_others_are_folded():
    *_, shown, folded = metrics_view(rows_of("VOC07 mAP", "recall", "COCO AP", "COCO AR 1"))
    assert "0.500000" in shown and "2.500000" in shown and "recall" not in shown
    assert folded.startswith("<details><summary>The other 2 numbers, with theirs</summary>")
    assert "1.500000" in folded and "rule COCO AR 1" in folded


def test_without_quoted_numbers_all_are_shown():
    _, shown = metrics_view(rows_of("a", "b"))
    assert "rule a" in shown and "rule b" in shown


def test_nothing_is_nothing():
    assert metrics_view([]) == []
