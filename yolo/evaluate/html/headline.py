"""Which kind of error costs a run most, and what its user can do about it, in words."""

from yolo.evaluate.analysis.tide import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    KINDS,
    LOCALIZATION,
    MISSED,
)
from yolo.evaluate.html.image_svg import MEANINGS
from yolo.evaluate.html.markup import element, words

WORTH_TELLING = 0.0005  # mAP; below it no error is worth a headline

ADVICE = {
    CLASSIFICATION: "The places are right and the names are wrong: look in the confusion matrix for the pair of "
    "classes that is mixed up, check its labels, and add examples of the rarer one.",
    LOCALIZATION: "The objects are seen, their boxes are inexact: check how tightly the labels are drawn, fit the "
    "anchors to the data, try a larger input or an overlap loss (iou_loss=ciou).",
    BOTH: "Class and place are wrong at once: usually crowded or half-hidden objects, or loosely drawn labels.",
    DUPLICATE: "Objects are found several times: lower the threshold of the suppression (NMS), or try "
    "nms_kind=diounms.",
    BACKGROUND: "Boxes stand where no label is: look at the images below first, for objects that nobody labeled; "
    "if the labels are complete, add images without objects.",
    MISSED: "Labeled objects are not found at any score: see below which sizes and classes they have; small ones "
    "want a larger input, rare ones more examples.",
}


def verdict(report: dict) -> str:
    """Which error costs most and what to do about it, as one box."""
    costs = [
        each for each in report["errors"] if each["kind"] in KINDS and each["cost"] is not None
    ]
    worst = max(costs, key=lambda each: each["cost"], default=None)
    if worst is None:
        return _box(None, "No labeled object, so nothing to score.", "")
    if worst["cost"] < WORTH_TELLING:
        return _box(None, "No kind of error costs anything worth naming.", "")
    kind, ap50 = worst["kind"], report["ap"]["ap50"]
    first = f"What costs most: {kind} ({MEANINGS[kind]})."
    gain = f"Without it AP50 would be {worst['cured']:.3f} instead of {ap50:.3f} ({worst['cost']:+.3f})."
    return _box(kind, f"{first} {gain}", ADVICE[kind])


def _box(kind: str | None, first: str, then: str) -> str:
    content = element("p", words("strong", first)) + (words("p", then) if then else "")
    return element("section", content, class_=f"card verdict {kind or ''}".strip())
