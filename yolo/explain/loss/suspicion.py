"""What speaks against the labels of an image: labels that the network contradicts, and detections without a label."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.explain.loss.object_fates import (
    BELOW,
    DETECTED,
    INEXACT,
    NO_BOX,
    OTHER_CLASS,
    SUPPRESSED,
    TAKEN,
    ObjectFate,
)
from yolo.explain.loss.placed import label_name
from yolo.explain.loss.ranking import is_explained
from yolo.records import Detections, Targets

WRONG_CLASS, WRONG_PLACE, NO_LABEL = "class", "place", "no label"


@dataclass(frozen=True)
class Suspicion:
    """A sign of a wrong label. kind: WRONG_CLASS, WRONG_PLACE or NO_LABEL.

    doubt: 0..1, how sure the network is of something else. target: the label, None for NO_LABEL; detection: the
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
    found: Sequence[ObjectFate], detections: Detections, targets: Targets, names: Sequence[str]
) -> list[Suspicion]:
    """Return what speaks against the labels of one image, the largest doubt first.

    Args:
        found: what became of each target.
        detections: of the image, in the frame of the targets.
        targets: the labels.
        names: of the classes.
    """
    objects = cxcywh_to_xyxy(targets.boxes)
    ious = paired_iou(detections.boxes[:, None], objects[None])
    signs, of_a_label, corners = [], set(), objects.tolist()
    for target, fate in enumerate(found):
        name = label_name(names, int(targets.labels[target]))
        if fate.kind == OTHER_CLASS:
            place = int((ious[:, target] * (detections.labels == fate.label)).argmax())
            of_a_label.add(place)
            text = f"labeled {name}, detected as {label_name(names, fate.label)} {fate.score:.2f}"
            signs.append(Suspicion(WRONG_CLASS, fate.score, target, place, tuple(corners[target]), text))
        elif fate.kind not in (DETECTED, TAKEN):
            text = f"{name}: {_why(fate)}"
            signs.append(Suspicion(WRONG_PLACE, 1 - fate.score, target, None, tuple(corners[target]), text))
    for place in torch.nonzero(~is_explained(detections, targets))[:, 0].tolist():
        if place not in of_a_label:
            score = float(detections.scores[place])
            text = f"{label_name(names, int(detections.labels[place]))} {score:.2f} without a label"
            signs.append(Suspicion(NO_LABEL, score, None, place, tuple(detections.boxes[place].tolist()), text))
    return sorted(signs, key=lambda sign: -sign.doubt)


def _why(fate: ObjectFate) -> str:
    if fate.kind == INEXACT:
        return f"the detection {fate.score:.2f} has an IoU of only {fate.iou:.2f}"
    if fate.kind == NO_BOX:
        return f"no predicted box is here; the nearest has an IoU of {fate.iou:.2f}"
    if fate.kind == SUPPRESSED:
        return f"its box, score {fate.score:.2f}, was suppressed by another"
    assert fate.kind == BELOW
    return f"not detected; the best box here has a score of {fate.score:.2f}"
