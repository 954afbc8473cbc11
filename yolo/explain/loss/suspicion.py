"""Find reasons to doubt the labels of an image: labels that the network contradicts, and detections without a label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yolo.boxes import cxcywh_to_xyxy
from yolo.explain.loss.evidence import overlaps
from yolo.explain.loss.object_fates import BELOW, DETECTED, INEXACT, NO_BOX, OTHER_CLASS, SUPPRESSED, TAKEN, ObjectFate
from yolo.explain.loss.placed import label_name
from yolo.records import Detections, Targets

WRONG_CLASS, WRONG_PLACE, NO_LABEL = "class", "place", "no label"
DOUBTED = 0.5  # a label that is detected, but as likely wrong as right, is shown too


@dataclass(frozen=True)
class Suspicion:
    """A sign of a wrong label. kind: WRONG_CLASS, WRONG_PLACE or NO_LABEL.

    doubt: 0..1, how likely the label is wrong, or the detection an object that was left out, as of `DoubtRule`. target:
    the label, None for NO_LABEL; detection: the
    detection, None where there is none. box: of the label, or for NO_LABEL of the detection, xyxy in the frame of the
    targets. text: one line.
    """

    kind: str
    doubt: float
    target: int | None
    detection: int | None
    box: tuple[float, float, float, float]
    text: str


def suspicions(
    fates: Sequence[ObjectFate],
    detections: Detections,
    targets: Targets,
    names: Sequence[str],
    of_labels: Sequence[float],
    of_unlabeled: Mapping[int, float],
) -> list[Suspicion]:
    """Return the reasons to doubt the labels of one image, the largest doubt first.

    Args:
        fates: the fate of each target.
        detections: of the image, in the frame of the targets.
        targets: the labels.
        names: of the classes.
        of_labels: how likely each label is wrong.
        of_unlabeled: the detections that no label explains, and how likely each is an object.
    """
    ious, _ = overlaps(detections, targets)
    signs, of_a_label, corners = [], set(), cxcywh_to_xyxy(targets.boxes).tolist()
    for target, (fate, doubt) in enumerate(zip(fates, of_labels, strict=True)):
        name, box = label_name(names, int(targets.labels[target])), tuple(corners[target])
        if fate.kind == OTHER_CLASS:
            place = int((ious[:, target] * (detections.labels == fate.label)).argmax())
            of_a_label.add(place)
            text = f"labeled {name}, detected as {label_name(names, fate.label)} {fate.score:.2f}"
            signs.append(Suspicion(WRONG_CLASS, doubt, target, place, box, text))
        elif fate.kind not in (DETECTED, TAKEN) or doubt >= DOUBTED:
            signs.append(Suspicion(WRONG_PLACE, doubt, target, None, box, f"{name}: {_why(fate)}"))
    for place, doubt in of_unlabeled.items():
        if place not in of_a_label:
            text = f"{label_name(names, int(detections.labels[place]))} {float(detections.scores[place]):.2f}"
            box = tuple(detections.boxes[place].tolist())
            signs.append(Suspicion(NO_LABEL, doubt, None, place, box, f"{text} without a label"))
    return sorted(signs, key=lambda sign: -sign.doubt)


def _why(fate: ObjectFate) -> str:
    if fate.kind in (INEXACT, DETECTED):
        return f"the detection {fate.score:.2f} has an IoU of only {fate.iou:.2f}"
    if fate.kind == TAKEN:
        return "the only detection here is that of another label"
    if fate.kind == NO_BOX:
        return f"no predicted box is here; the nearest has an IoU of {fate.iou:.2f}"
    if fate.kind == SUPPRESSED:
        return f"its box, score {fate.score:.2f}, was suppressed by another"
    assert fate.kind == BELOW
    return f"not detected; the best box here has a score of {fate.score:.2f}"
