"""NMS as a part of an exported graph: ONNX's NonMaxSuppression, and the same in torch for comparison."""

import torch
from torch import Tensor

from yolo.detect.nms import nms

MOST_BOXES_PER_CLASS = 1000  # of an image: NonMaxSuppression needs a number, and plugins allocate that many


class _NonMaxSuppression(torch.autograd.Function):
    """ONNX's operator of that name. In torch, `select_boxes` gives the same rows."""

    @staticmethod
    def forward(ctx, boxes: Tensor, scores: Tensor, score_thresh: float, nms_thresh: float) -> Tensor:
        return select_boxes(boxes, scores.transpose(1, 2), score_thresh, nms_thresh)

    @staticmethod
    def symbolic(g, boxes, scores, score_thresh: float, nms_thresh: float):
        constants = (
            g.op("Constant", value_t=torch.tensor([MOST_BOXES_PER_CLASS])),
            g.op("Constant", value_t=torch.tensor([nms_thresh])),
            g.op("Constant", value_t=torch.tensor([score_thresh])),
        )
        return g.op("NonMaxSuppression", boxes, scores, *constants)


def final_boxes(boxes: Tensor, scores: Tensor, score_thresh: float, nms_thresh: float) -> Tensor:
    """Return the detections of all images after NMS in each class.

    Args:
        boxes: `[B, N, 4]` xyxy.
        scores: `[B, N, C]`; a box may be a detection of several classes, as in Darknet.
        score_thresh: Scores must exceed this.
        nms_thresh: Two boxes of a class that overlap by more than this become one.

    Returns:
        `[M, 7]`: image, x1, y1, x2, y2, class, score; the highest score first.
    """
    selected = _NonMaxSuppression.apply(boxes, scores.transpose(1, 2), score_thresh, nms_thresh)
    return selected_rows(boxes, scores, selected)


def selected_rows(boxes: Tensor, scores: Tensor, selected: Tensor) -> Tensor:
    """Return the rows of `final_boxes` for the (image, class, box) of `selected`, int64 `[M, 3]`."""
    image, label, box = selected[:, 0], selected[:, 1], selected[:, 2]
    chosen = boxes[image, box]
    score = scores[image, box, label]
    rows = torch.cat((image.float()[:, None], chosen, label.float()[:, None], score[:, None]), dim=1)
    return rows[torch.argsort(score, descending=True)]


def select_boxes(boxes: Tensor, scores: Tensor, score_thresh: float, nms_thresh: float) -> Tensor:
    """Choose the detections of all images by a score threshold and NMS in each class.

    Args:
        boxes: `[B, N, 4]` xyxy.
        scores: `[B, N, C]`.
        score_thresh: scores must exceed this.
        nms_thresh: two boxes of a class that overlap by more than this become one.

    Returns:
        (image, class, box) of each detection, int64 `[M, 3]`.
    """
    rows = []
    for image, (corners, all_scores) in enumerate(zip(boxes, scores, strict=True)):
        box, label = torch.nonzero(all_scores > score_thresh, as_tuple=True)
        keep = nms(corners[box], all_scores[box, label], label, nms_thresh)
        rows.append(torch.stack((torch.full_like(keep, image), label[keep], box[keep]), dim=1))
    return torch.cat(rows) if rows else torch.empty(0, 3, dtype=torch.int64)
