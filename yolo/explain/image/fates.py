"""The fate of each box between the network and the detections: below the threshold, suppressed by NMS, or kept.

The boxes that are kept are those that `yolo.detect.postprocess` keeps. NMS compares the boxes of a class from the
highest score down; a box disappears because of the best box that is kept and overlaps it by more than the threshold.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_diou_with_exponent, paired_iou
from yolo.detect.nms import nms
from yolo.model.class_tree import Tree, best_class_one_hot
from yolo.records import Predictions

KEPT, SUPPRESSED, BELOW = "kept", "suppressed", "below threshold"
MOST_SUPPRESSED, MOST_BELOW, MOST_OF_A_CLASS = 300, 40, 10  # boxes that are described; all of them are counted


@dataclass(frozen=True)
class BoxFate:
    """A box of a class and its fate.

    prediction: its place among all predictions. label: the class. score: objectness x class_prob. box: xyxy, 0..1 of
    the network input. fate: KEPT, SUPPRESSED or BELOW. suppressor: for a suppressed box the prediction that is kept
    instead. overlap: what NMS compared with its threshold for these two. iou: their IoU, which with `greedynms` and
    `diounms` is more than that.
    """

    prediction: int
    label: int
    score: float
    objectness: float
    class_prob: float
    box: tuple[float, float, float, float]
    fate: str
    suppressor: int | None = None
    overlap: float | None = None
    iou: float | None = None


@dataclass(frozen=True)
class BoxFates:
    """The boxes of an image. A box counts once for each class.

    kept: all of them; suppressed, below: the ones with the highest scores; each with the highest score first.
    suppressed_count, below_count: how many there are in all; predictions: the number of boxes without their classes.
    """

    predictions: int
    kept: tuple[BoxFate, ...]
    suppressed: tuple[BoxFate, ...]
    suppressed_count: int
    below: tuple[BoxFate, ...]
    below_count: int


def box_fates(
    predictions: Predictions,
    *,
    score_thresh: float,
    nms_thresh: float,
    diou_exponent: float | None = None,
    tree: Tree | None = None,
    label: int | None = None,
) -> BoxFates:
    """Return the fates of the predictions of one image.

    Args:
        predictions: boxes `[P, 4]`, objectness `[P]`, class_probs `[P, classes]`, as `Network.decode` makes them.
        score_thresh, nms_thresh, diou_exponent: as for `postprocess`.
        tree: a class hierarchy, which gives each box one class and its objectness as the score.
        label: a class whose best boxes below the threshold are described in any case.
    """
    boxes, objectness, class_probs = (part.detach().cpu() for part in predictions)
    if tree is not None:
        class_probs = best_class_one_hot(class_probs, tree)
    scores = objectness[:, None] * class_probs
    rows, labels = torch.nonzero(scores > score_thresh, as_tuple=True)
    order = torch.argsort(labels, stable=True)  # the order of `nms`
    order = order[torch.argsort(scores[rows, labels][order], descending=True, stable=True)]
    rows, labels = rows[order], labels[order]
    values, corners = scores[rows, labels], cxcywh_to_xyxy(boxes)
    kept = nms(corners[rows], values, labels, nms_thresh, diou_exponent)
    is_kept = torch.zeros(len(rows), dtype=torch.bool)
    is_kept[kept] = True
    lost = torch.nonzero(~is_kept)[:, 0]

    def fates(rows: Tensor, labels: Tensor, kind: str) -> list[BoxFate]:
        parts = (rows, labels, scores[rows, labels], objectness[rows], class_probs[rows, labels], corners[rows])
        columns = (part.tolist() for part in parts)  # at once: an untrained network keeps hundreds of thousands
        return [BoxFate(*numbers, tuple(box), kind) for *numbers, box in zip(*columns, strict=True)]

    suppressed = []
    described = lost[:MOST_SUPPRESSED]
    of_class = {each: kept[labels[kept] == each] for each in labels[described].unique().tolist()}
    for place, fate in zip(described.tolist(), fates(rows[described], labels[described], SUPPRESSED), strict=True):
        better = of_class[fate.label][of_class[fate.label] < place]
        suppressor, overlap = _suppressor(corners[rows[better]], corners[rows[place]], nms_thresh, diou_exponent)
        by = int(rows[better[suppressor]])
        iou = float(paired_iou(corners[by], corners[rows[place]]))
        suppressed.append(replace(fate, suppressor=by, overlap=overlap, iou=iou))
    below = _highest_below(scores, score_thresh, label)
    return BoxFates(
        predictions=len(boxes),
        kept=tuple(fates(rows[kept], labels[kept], KEPT)),
        suppressed=tuple(suppressed),
        suppressed_count=len(lost),
        below=tuple(fates(below // scores.shape[1], below % scores.shape[1], BELOW)),
        below_count=int((~(scores > score_thresh).any(dim=1)).sum()),
    )


def _highest_below(scores: Tensor, score_thresh: float, label: int | None) -> Tensor:
    """Return the places of the highest scores `[P * classes]` that are above 0 and not above the threshold.

    They are the MOST_BELOW highest, and the MOST_OF_A_CLASS highest of the class `label`, the highest first.
    """
    low = scores.masked_fill(scores > score_thresh, 0)
    places = set(torch.topk(low.flatten(), min(MOST_BELOW, low.numel())).indices.tolist())
    if label is not None:
        rows_of_label = torch.topk(low[:, label], min(MOST_OF_A_CLASS, len(low))).indices
        places |= set((rows_of_label * scores.shape[1] + label).tolist())
    order = sorted(places, key=lambda at: (-low.flatten()[at], at))
    return torch.tensor([at for at in order if low.flatten()[at] > 0], dtype=torch.int64)


def _suppressor(better: Tensor, box: Tensor, thresh: float, diou_exponent: float | None) -> tuple[int, float]:
    """Return which of the boxes `[K, 4]`, best first, suppresses `box` `[4]`, and their overlap as NMS measures it."""
    pair = better, box.expand_as(better)
    overlaps = paired_iou(*pair) if diou_exponent is None else paired_diou_with_exponent(*pair, diou_exponent)
    over = torch.nonzero(overlaps.double() > thresh)[:, 0]
    place = int(over[0]) if len(over) else int(overlaps.argmax())  # the second only if rounding differs
    return place, float(overlaps[place])
