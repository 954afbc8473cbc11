"""yolo.train.losses.gaussian_yolo: gradients equal to a slow version of gaussian_yolo_layer.c and to values by hand."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of, targets_of
from tests.helpers.slow_gaussian_yolo import Keys, gaussian_delta
from yolo.boxes import cxcywh_to_xyxy, paired_giou
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.gaussian_yolo import negative_log_likelihood

HEAD = """[net]
width={width}
height={height}
channels={channels}
[maxpool]
size=1
stride_x=16
stride_y=12
[Gaussian_yolo]
mask={mask}
num=4
classes=3
anchors=8,9, 13,21, 31,33, 44,65
"""
ANCHORS = ((8, 9), (13, 21), (31, 33), (44, 65))
GRID = (3, 5)  # rows, columns; a cell is 16 wide and 12 high
COUNTERS = (30, 15, 10)
POINTS = ("center", "left_top", "right_bottom")


def network_with(mask=(0, 1, 2, 3), **keys):
    text = HEAD.format(
        width=16 * GRID[1],
        height=12 * GRID[0],
        channels=len(mask) * 12,
        mask=",".join(map(str, mask)),
    )
    return network_of(text + "".join(f"{key}={value}\n" for key, value in keys.items()))


def random_case(seed, anchors=4):
    """(logits `[3, A*12, H, W]`, rows): several ground truths in one cell, ground truths on borders, none in image
    1."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (3, anchors * 12, *GRID)).astype(np.float32)
    rows = []
    for image in (0, 2):
        for _ in range(3):
            w, h = random.uniform(0.08, 0.7, 2)
            rows.append((image, random.integers(3), *random.uniform(0.05, 0.95, 2), w, h))
        _, _, *box = rows[-1]
        rows.append((image, (rows[-1][1] + 1) % 3, *box))  # the same box as another class
        rows.append((image, rows[-1][1], *(np.array(box) * (1, 1, 1.04, 0.97))))
        rows.append((image, 1, 1.0, 1.0, 0.3, 0.4))  # on the far border: the last cell
        rows.append((image, 2, 0.06, 0.05, 0.9, 0.95))  # its corner is more than a cell beyond the border
    return logits, np.array(rows, np.float32)


def delta_of(network, logits, rows, dialect="alexeyab", **options):
    """Darknet's delta by our loss, `[B, A, 9+classes, H, W]`."""
    raw = torch.as_tensor(logits).clone().requires_grad_()
    losses = DetectionLoss(network, dialect, **options)([raw], targets_of(rows))
    losses.total.backward()
    head = network.layers[1]
    shape = (len(logits), len(head.anchor_ids), 9 + head.classes, *logits.shape[2:])
    return (-raw.grad * len(logits)).reshape(shape).numpy()


def slow_deltas(logits, rows, mask=(0, 1, 2, 3), **keys):
    return np.stack(
        [
            gaussian_delta(
                logits[image].reshape(len(mask), 12, *GRID).astype(np.float64),
                [(int(row[1]), *map(float, row[2:])) for row in rows if row[0] == image],
                anchors=ANCHORS,
                mask=mask,
                classes=3,
                network=(16 * GRID[1], 12 * GRID[0]),
                keys=Keys(**keys),
            )
            for image in range(len(logits))
        ]
    )


# ------------------------------------------------------------------------------------------ against the slow reference


CFGS = {
    "defaults": {},
    "uncertain": {"uc_normalizer": 0.1, "iou_normalizer": 0.5, "ignore_thresh": 0.2},
    "truth_thresh": {"ignore_thresh": 0.2, "truth_thresh": 0.3, "cls_normalizer": 0.4},
    "iou_thresh": {"iou_thresh": 0.3, "scale_x_y": 1.2, "label_smooth_eps": 0.1},
    "bounded": {"max_delta": 0.5, "iou_thresh": 0.2, "scale_x_y": 1.05},
    "iou": {"iou_loss": "iou", "iou_thresh": 0.25},
    "giou": {"iou_loss": "giou", "iou_normalizer": 0.07, "uc_normalizer": 0.07},
    "diou": {"iou_loss": "diou", "max_delta": 1.5, "truth_thresh": 0.4},
    "ciou": {"iou_loss": "ciou", "iou_thresh": 0.2, "cls_normalizer": 0.3, "scale_x_y": 1.1},
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("keys", CFGS.values(), ids=CFGS)
def test_gradients_are_the_cell_by_cell_deltas(keys, point):
    keys = keys | {"yolo_point": point}
    logits, rows = random_case(0)
    ours = delta_of(network_with(**keys), logits, rows)
    slow = slow_deltas(logits, rows, **keys)
    assert np.abs(slow[:, :, :8]).max() > 0.3
    np.testing.assert_allclose(ours, slow, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("mask", [(1, 3), (3, 0, 2)])
def test_a_head_is_responsible_for_the_anchors_of_its_mask_only(mask):
    keys = {"iou_thresh": 0.2, "iou_loss": "ciou"}
    logits, rows = random_case(1, anchors=len(mask))
    ours = delta_of(network_with(mask, **keys), logits, rows)
    slow = slow_deltas(logits, rows, mask, **keys)
    assert slow[:, :, :8].any()
    np.testing.assert_allclose(ours, slow, rtol=1e-3, atol=2e-5)


def test_rare_classes_weigh_more():
    logits, rows = random_case(2)
    # max(counters) / counter (parser.c get_classes_multipliers)
    slow = slow_deltas(logits, rows, multipliers=(1, 2, 3), cls_normalizer=0.5, truth_thresh=0.4)
    counters = ",".join(map(str, COUNTERS))
    network = network_with(counters_per_class=counters, cls_normalizer=0.5, truth_thresh=0.4)
    np.testing.assert_allclose(delta_of(network, logits, rows), slow, rtol=1e-3, atol=2e-5)


def test_keys_that_the_layer_does_not_read_change_nothing():
    logits, rows = random_case(0)
    unread = {"obj_normalizer": 0.3, "delta_normalizer": 3, "focal_loss": 1, "objectness_smooth": 1}
    expected = delta_of(network_with(), logits, rows)
    assert np.array_equal(delta_of(network_with(**unread), logits, rows), expected)


@pytest.mark.parametrize("box_gradient", ["autograd", "darknet"])
def test_the_dialect_changes_nothing(box_gradient):
    logits, rows = random_case(0)
    network = network_with(iou_loss="giou", label_smooth_eps=0.1, iou_thresh=0.3)
    first, second = (
        delta_of(network, logits, rows, dialect, box_gradient=box_gradient) for dialect in ("alexeyab", "pjreddie")
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("iou_loss", ["mse", "ciou"])
@pytest.mark.parametrize("point", POINTS)
def test_without_a_ground_truth_every_cell_learns_objectness_0(iou_loss, point):
    logits, _ = random_case(0)
    network = network_with(iou_loss=iou_loss, yolo_point=point, cls_normalizer=0.5)
    delta = delta_of(network, logits, [])
    objectness = logits.reshape(3, 4, 12, *GRID)[:, :, 8]
    np.testing.assert_allclose(delta[:, :, 8], -0.5 / (1 + np.exp(-objectness)), atol=1e-6)
    assert not delta[:, :, :8].any() and not delta[:, :, 9:].any()


def test_a_box_without_width_or_height_gives_the_slow_versions_finite_gradients():
    logits, _ = random_case(0)
    rows = np.array([(0, 0, 0.5, 0.5, 0.0, 0.0), (2, 1, 0.3, 0.3, 0.2, 0.0)], np.float32)
    delta = delta_of(network_with(), logits, rows)
    np.testing.assert_allclose(delta, slow_deltas(logits, rows), rtol=1e-3, atol=2e-5)
    for iou_loss in ("iou", "giou", "diou", "ciou"):
        assert np.isfinite(delta_of(network_with(iou_loss=iou_loss), logits, rows)).all()


def test_a_ground_truth_many_sigmas_away_gives_no_box_gradient():
    # e^(-½·(off/σ)²) is far below the 1e-9 that is added to the density, so Darknet's delta is 0
    logits = np.zeros((1, 48, *GRID), np.float32)
    logits.reshape(4, 12, *GRID)[:, 1:8:2] = -7  # σ about 1/1000
    logits.reshape(4, 12, *GRID)[:, 0:8:2] = 3
    delta = delta_of(network_with(), logits, [(0, 0, 0.5, 0.5, 0.3, 0.3)])
    assert not delta[:, :, :8].any() and delta[:, :, 8:].any()


# ---------------------------------------------------------------------------------------------------- by hand, the rest


def test_the_gradient_of_one_cell_by_hand():
    # of a zero map: x, y, σ and classes are 1/2, w and h 0; the ground truth has the anchor's size, centered in the
    # middle cell
    logits = np.zeros((1, 12, *GRID), np.float32)
    size = 13 / (16 * GRID[1]), 21 / (12 * GRID[0])
    delta = delta_of(network_with((1,)), logits, [(0, 1, 0.55, 0.5, *size)])[0, 0, :, 1, 2]
    # x should be 3/4: off = 1/4, off / σ = 1/2; ½·scale·(off/σ)/σ, and ½·scale·((off/σ)²/σ - 1/(σ + 0.3))
    half, sigma = 0.5 * (2 - size[0] * size[1]), 0.5
    certain = half * (0 - 1 / (sigma + 0.3))
    uncertain = half * (0.25 / sigma - 1 / (sigma + 0.3))
    box = [0.75 * half * 0.5 / sigma, uncertain, 0, certain, 0, certain, 0, certain]
    assert delta.tolist() == pytest.approx([*box, 0.5, -0.5, 0.5, -0.5], rel=1e-5, abs=1e-6)


def test_the_likelihood_is_the_logarithm_of_a_density():
    mean, sigma, target = torch.tensor([0.2]), torch.tensor([0.5]), torch.tensor([0.9])
    density = math.exp(-0.5 * (0.7 / 0.5) ** 2) / (math.sqrt(2 * math.pi) * 0.8)
    found = negative_log_likelihood(mean, sigma, target).item()
    assert found == pytest.approx(-0.5 * math.log(density + 1e-9))


@pytest.mark.parametrize("point", POINTS)
def test_autograd_is_the_true_gradient_of_an_iou_loss(point):
    # one ground truth, one pair: the gradient of 1 - GIoU through decode, by torch; the uncertainties' stays Darknet's
    network = network_with((2,), iou_loss="giou", yolo_point=point, uc_normalizer=0.3)
    logits = np.random.default_rng(0).normal(0, 1, (1, 12, *GRID)).astype(np.float32)
    row = (0, 2, 0.5, 0.5, 0.4, 0.9)
    true = delta_of(network, logits, [row], box_gradient="autograd")[0, 0]
    ((y, x),) = np.argwhere(true[:8].any(axis=0))
    raw = torch.tensor(logits, requires_grad=True)
    boxes = network.decode([raw]).boxes.reshape(*GRID, 4)
    ground_truth = torch.tensor([row[2:]])
    giou = paired_giou(cxcywh_to_xyxy(boxes[y, x][None]), cxcywh_to_xyxy(ground_truth))
    (0.75 * giou.sum()).backward()
    np.testing.assert_allclose(true[:8:2, y, x], raw.grad[0, :8:2, y, x].numpy(), atol=1e-6)
    darknets = delta_of(network, logits, [row])[0, 0]
    assert np.array_equal(true[1:8:2], darknets[1:8:2])
    assert not np.allclose(true[:8:2], darknets[:8:2], atol=1e-3)


def test_losses_are_named_parts_of_the_total():
    logits, rows = random_case(0)
    losses = DetectionLoss(network_with(iou_loss="giou"))([torch.tensor(logits)], targets_of(rows))
    parts = losses.box + losses.objectness + losses.classification
    assert losses.total.item() == pytest.approx(parts.item())
    assert losses.assigned == len(rows) and 0 < losses.iou.item() < 1
    assert losses.heads[0].cells == 3 * 4 * math.prod(GRID)


@pytest.mark.parametrize("iou_loss", ["mse", "giou"])
def test_the_value_is_weighted_likelihood_or_overlap_plus_the_uncertainties_likelihood(iou_loss):
    logits = np.zeros((1, 12, *GRID), np.float32)
    size = 13 / (16 * GRID[1]), 21 / (12 * GRID[0])
    network = network_with((1,), iou_loss=iou_loss, uc_normalizer=0.1)
    rows = [(0, 1, 0.5, 0.5, *size)]  # the prediction itself: the density is 1/(√2π·0.8), GIoU 1
    box = DetectionLoss(network)([torch.tensor(logits)], targets_of(rows)).box.item()
    peak = -0.5 * math.log(1 / (math.sqrt(2 * math.pi) * 0.8) + 1e-9)
    likelihood = 4 * peak * (2 - size[0] * size[1])
    expected = 0.1 * likelihood + (0.75 * likelihood if iou_loss == "mse" else 0)
    assert box == pytest.approx(expected, rel=1e-5)


def test_steps_along_the_gradient_find_the_boxes():
    # the loss is trained with, not only computed: raw maps as parameters, plain descent
    torch.manual_seed(0)
    network = network_with(scale_x_y=1.1, uc_normalizer=0.1)
    raw = torch.zeros(1, 48, *GRID, requires_grad=True)
    targets = targets_of([(0, 0, 0.3, 0.4, 0.3, 0.5), (0, 2, 0.75, 0.6, 0.2, 0.3)])
    loss = DetectionLoss(network)
    before = loss([raw], targets)
    for _ in range(150):
        losses = loss([raw], targets)
        (slope,) = torch.autograd.grad(losses.total, raw)
        raw = (raw - 0.1 * slope).detach().requires_grad_()
    assert losses.iou > 0.9 > before.iou and losses.total < before.total
    predictions = network.decode([raw])
    score, index = (predictions.objectness[..., None] * predictions.class_probs)[0].amax(1).max(0)
    assert score > 0.4 and predictions.class_probs[0, index].argmax().item() in (0, 2)
