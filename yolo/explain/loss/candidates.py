"""Find the anchors that could be responsible for an object, how similar each one is, and why none is responsible."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from yolo.boxes import cxcywh_to_xyxy, paired_iou, shape_iou
from yolo.model.heads.region import RegionHead, RegionSettings
from yolo.model.heads.yolo import YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.records import Targets
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.region import region_overlaps

# why an anchor is responsible for an object, or NOT
BEST = "best"  # the most similar one
EXTRA = "iou_thresh"  # similar enough
PREDICTED = "truth_thresh"  # its predicted box is good enough
NOT = ""

NO_HEAD = -1
SHAPE, PREDICTED_SHAPE, PREDICTED_BOX = "anchor", "predicted shape", "predicted box"  # what is compared


@dataclass(frozen=True)
class Candidate:
    """An anchor compared with an object.

    head: number of the head, from 0; NO_HEAD for an anchor that is in no mask. anchor: its number in the cfg's list;
    of a [detection], the number of the box. size: (width, height) in pixels of the network input, None where a head has
    no anchors. compared: SHAPE (of the anchor), PREDICTED_SHAPE or PREDICTED_BOX (at the place of the object). iou: of
    this with the object.
    """

    head: int
    anchor: int
    size: tuple[float, float] | None
    compared: str
    iou: float
    why: str = NOT


def candidates_of(loss: DetectionLoss, raw: Sequence[Tensor], targets: Targets) -> list[list[Candidate]]:
    """Return the anchors of all heads for each target of one image, those with the largest IoU first.

    Of equal ones the first in the cfg comes first, as in the assignment. raw: `[1, C, H, W]` for each head.
    """
    found: list[list[Candidate]] = [[] for _ in targets.labels]
    for number, (head, settings, map_) in enumerate(zip(loss.heads, loss.settings, raw, strict=True)):
        if isinstance(head, YoloHead):
            sizes, ious, compared = _yolo(head, map_, targets)
        elif isinstance(head, RegionHead):
            sizes, ious, compared = _region(head, settings, map_, targets)
        else:
            sizes, ious, compared = _yolov1(head, map_, targets)
        for target, row in enumerate(ious.tolist()):
            found[target] += [
                Candidate(number, anchor_number(head, place), size, compared, iou)
                for place, (size, iou) in enumerate(zip(sizes, row, strict=True))
            ]
    for target, unused in enumerate(_in_no_mask(loss, raw, targets)):
        found[target] += unused
    return [sorted(each, key=lambda one: (-one.iou, one.anchor)) for each in found]


def anchor_number(head: nn.Module, place: int) -> int:
    """Return the number in the cfg's list of the anchor at a place of a head."""
    return head.anchor_ids[place] if isinstance(head, YoloHead) else place


def why_none(loss: DetectionLoss, targets: Targets, target: int) -> str:
    """Return a sentence about a target for which no cell is responsible."""
    label, known = int(targets.labels[target]), loss.heads[0].classes
    if loss.class_map is not None:
        known = min(known, len(loss.class_map))
    if not 0 <= label < known:
        return f"the heads have no class {label}"
    if isinstance(loss.heads[0], YoloV1Head):
        return "another object has this cell, or this one is too small: a [detection] learns one object for each cell"
    return "the most similar anchor is in the mask of no head"


def _in_no_mask(loss: DetectionLoss, raw: Sequence[Tensor], targets: Targets) -> Iterator[list[Candidate]]:
    """Yield for each target the anchors of [yolo] that no head uses, to which it can still be assigned."""
    head = loss.heads[0]
    used = {number for each in loss.heads if isinstance(each, YoloHead) for number in each.anchor_ids}
    if not isinstance(head, YoloHead) or len(used) == len(head.all_anchors):
        return
    numbers = [number for number in range(len(head.all_anchors)) if number not in used]
    anchors = head.all_anchors[numbers]
    ious = shape_iou(targets.boxes[:, 2:], anchors / head.network_size((raw[0].shape[-2], raw[0].shape[-1])))
    for row in ious.tolist():
        yield [
            Candidate(NO_HEAD, number, tuple(size), SHAPE, iou)
            for number, size, iou in zip(numbers, anchors.tolist(), row, strict=True)
        ]


def _yolo(head: YoloHead, raw: Tensor, targets: Targets) -> tuple[list[tuple[float, float]], Tensor, str]:
    size = head.network_size((raw.shape[-2], raw.shape[-1]))
    return [tuple(each) for each in head.anchors.tolist()], shape_iou(targets.boxes[:, 2:], head.anchors / size), SHAPE


def _region(
    head: RegionHead, settings: RegionSettings, raw: Tensor, targets: Targets
) -> tuple[list[None], Tensor, str]:
    boxes = head.decode_boxes(head.split(raw))
    ious, _, _ = region_overlaps(head, settings, boxes, targets)
    return [None] * len(head.anchors), ious, SHAPE if settings.bias_match else PREDICTED_SHAPE


def _yolov1(head: YoloV1Head, raw: Tensor, targets: Targets) -> tuple[list[None], Tensor, str]:
    boxes = head.decode(raw).boxes.view(head.boxes, head.side, head.side, 4)
    column, row = (targets.boxes[:, :2] * head.side).long().clamp(max=head.side - 1).unbind(dim=-1)
    here = boxes[:, row, column].transpose(0, 1)  # [M, boxes, 4]
    ious = paired_iou(cxcywh_to_xyxy(here), cxcywh_to_xyxy(targets.boxes)[:, None])
    return [None] * head.boxes, ious, PREDICTED_BOX
