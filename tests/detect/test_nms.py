"""yolo.detect.nms: the indices are torchvision's, for few boxes and for thousands."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo.detect.nms import nms


def random_corners(generator, count, size):
    """xyxy `[count, 4]` with centers in 0..1 and sides of 0.2 to 1.2 times `size`; scores, of which some are equal."""
    center = torch.rand(count, 2, generator=generator)
    half = size * (0.2 + torch.rand(count, 2, generator=generator)) / 2
    scores = torch.randint(count, (count,), generator=generator) / count
    return torch.cat((center - half, center + half), dim=1), scores


def torchvision_nms(boxes, scores, labels, thresh):
    """torchvision's NMS, class by class; of equal scores the lower label first, then the lower index."""
    kept = []
    for label in labels.unique():
        members = torch.nonzero(labels == label)[:, 0]
        kept.append(members[torchvision.ops.nms(boxes[members], scores[members], thresh)])
    keep = torch.cat(kept) if kept else labels
    return keep[torch.argsort(scores[keep], descending=True, stable=True)]


WHOLE_NUMBERS = st.tuples(*[st.integers(0, 10)] * 4).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(WHOLE_NUMBERS, st.integers(0, 3), st.integers(0, 2)), max_size=40),
    scale=st.sampled_from([1, 0.1, 37.3, 1e-22]),  # areas of the last one underflow
    thresh=st.sampled_from([0, 0.1, 0.25, 0.3, 1 / 3, 0.45, 0.5, 0.6, 2 / 3, 0.7, 1]),
    few=st.sampled_from([64, 0]),  # all pairs of few boxes are compared, or sides are sorted
    block=st.sampled_from([1024, 2]),  # smaller than the boxes: they are cut into strips too
)
def test_nms_is_torchvisions_to_the_last_bit(rows, scale, thresh, few, block):
    # whole numbers: many IoUs lie exactly at a threshold, many scores are equal, many boxes are empty
    boxes = torch.tensor([box for box, _, _ in rows], dtype=torch.float32).reshape(-1, 4) * scale
    scores = torch.tensor([score for _, score, _ in rows], dtype=torch.float32)
    labels = torch.tensor([label for _, _, label in rows], dtype=torch.int64)
    expected = torchvision_nms(boxes, scores, labels, thresh)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yolo.detect.nms.FEW_BOXES", few)
        patch.setattr("yolo.detect.nms.FIRST_BLOCK", block)
        assert nms(boxes, scores, labels, thresh).tolist() == expected.tolist()


@pytest.mark.parametrize("thresh", [0.0, 0.1, 0.45, 0.9])
@pytest.mark.parametrize("size", [0.02, 0.4])
@pytest.mark.parametrize("classes", [1, 80])
def test_nms_of_thousands_of_boxes_is_torchvisions(classes, size, thresh):
    generator = torch.Generator().manual_seed(classes)
    boxes, scores = random_corners(generator, 4000, size)
    boxes[2000:] = boxes[:2000] + 0.02 * size * torch.rand(2000, 4, generator=generator)
    labels = torch.randint(classes, (2000,), generator=generator).repeat(2)
    expected = torchvision_nms(boxes, scores, labels, thresh)
    assert 10 < len(expected) < 4000
    assert nms(boxes, scores, labels, thresh).tolist() == expected.tolist()


@pytest.mark.parametrize(("few", "block"), [(64, 1024), (0, 1024), (0, 2)])
def test_boxes_that_are_not_finite_suppress_nothing_as_in_torchvision(monkeypatch, few, block):
    monkeypatch.setattr("yolo.detect.nms.FEW_BOXES", few)
    monkeypatch.setattr("yolo.detect.nms.FIRST_BLOCK", block)
    inf, nan = float("inf"), float("nan")
    boxes = torch.tensor([[-inf, -inf, inf, inf], [0, 0, inf, 1], [nan] * 4, [0, 0, 1, 1], [0, nan, 1, 1]] * 2)
    scores = torch.arange(10).flip(0).float()
    labels = torch.tensor([0] * 5 + [1] * 5)
    expected = torchvision_nms(boxes, scores, labels, 0.3)
    assert nms(boxes, scores, labels, 0.3).tolist() == expected.tolist() == list(range(10))


@pytest.mark.parametrize("largest", [3e3, 1e30])
def test_boxes_of_all_sizes_are_found_in_their_strips(largest):
    """Sides from 1 pixel to an image of 3000, or a few as large as float32 allows."""
    generator = torch.Generator().manual_seed(5)
    center = 1000 * torch.rand(3000, 2, generator=generator)
    half = 500 * torch.rand(3000, 2, generator=generator) ** 6
    half[:3] = largest / 2
    boxes, scores = torch.cat((center - half, center + half), dim=1), torch.rand(3000, generator=generator)
    labels = torch.zeros(3000, dtype=torch.int64)
    expected = torchvision_nms(boxes, scores, labels, 0.3)
    assert 100 < len(expected) < 2990
    assert nms(boxes, scores, labels, 0.3).tolist() == expected.tolist()


@pytest.mark.parametrize("exponent", [None, 0.6])
def test_nms_in_blocks_is_nms_at_once(monkeypatch, exponent):
    boxes, scores = random_corners(torch.Generator().manual_seed(4), 100, 0.3)
    labels = torch.arange(100) % 2
    whole = nms(boxes, scores, labels, 0.3, exponent)
    monkeypatch.setattr("yolo.detect.nms.FEW_BOXES", 0)
    monkeypatch.setattr("yolo.detect.nms.FIRST_BLOCK", 3)
    monkeypatch.setattr("yolo.detect.nms.LARGEST_BLOCK", 7)
    monkeypatch.setattr("yolo.detect.nms.MOST_PAIRS", 20)
    assert 5 < len(whole) < 100
    assert nms(boxes, scores, labels, 0.3, exponent).tolist() == whole.tolist()
