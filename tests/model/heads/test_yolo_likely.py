"""YoloHead.decode_likely: the rows of decode whose objectness is above the threshold, in the same order."""

import pytest
import torch

from yolo.model.heads.yolo import YoloHead


@pytest.mark.parametrize("thresh", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("gaussian", [False, True])
def test_likely_boxes_are_those_of_decode_above_the_threshold(gaussian, thresh):
    anchors = torch.tensor([[8.0, 12.0], [20.0, 10.0], [40.0, 50.0]])
    head = YoloHead(
        all_anchors=anchors, anchor_ids=(1, 2), classes=3, stride=(8, 16), scale_x_y=1.1, gaussian=gaussian,
        center_shift=0.5 if gaussian else 0.0,
    )  # fmt: skip
    raw = 2 * torch.randn(2, 2 * ((9 if gaussian else 5) + 3), 4, 5)
    boxes, objectness, class_probs = head.decode(raw)
    for index in range(2):
        likely = objectness[index] > thresh
        found = head.decode_likely(raw[index], thresh)
        assert len(found.objectness) == int(likely.sum())
        torch.testing.assert_close(found.boxes, boxes[index][likely])
        torch.testing.assert_close(found.objectness, objectness[index][likely])
        torch.testing.assert_close(found.class_probs, class_probs[index][likely])
