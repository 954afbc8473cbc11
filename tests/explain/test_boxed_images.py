"""yolo.explain.boxed_images: of very many boxes the first are drawn, so that the page still opens."""

from yolo.explain.boxed_images import MOST_BOXES, DrawnBox, drawn_boxes


def test_the_first_boxes_are_drawn_and_the_label_says_of_how_many():
    boxes = [DrawnBox((0, 0, 8, 8), "detection", f"number {place}") for place in range(36_000)]
    drawing = drawn_boxes(None, (48, 64), boxes, 560, "a.png")
    tips = [shape.attributes["data-tip"] for shape in drawing.shapes if "data-tip" in shape.attributes]
    assert tips == [f"number {place}" for place in reversed(range(MOST_BOXES))]
    assert drawing.label == f"a.png; {MOST_BOXES} of 36,000 boxes are drawn"
    assert drawn_boxes(None, (48, 64), boxes[:MOST_BOXES], 560, "a.png").label == "a.png"
