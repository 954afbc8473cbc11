"""yolo.train.losses.detection: gradients equal to compiled Darknet's, a slow reference's and torchvision's; eight
training steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from tests.helpers import slow_core
from tests.helpers.golden import make_weights, network_of, read_json, targets_of
from tests.helpers.slow_box_gradient import box_gradient
from yolo.boxes import cxcywh_to_xyxy
from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights
from yolo.schedule import learning_rate
from yolo.train.losses.assign import DIALECTS, assign
from yolo.train.losses.detection import DetectionLoss

# Every case of ../shared/darknet_golden/loss stands in one of the two tables.
SQUARED_ERROR = (
    "alexeyab_default",
    "class_weights",
    "focal_loss",
    "iou_thresh",
    "label_smooth",
    "no_truth",
    "one_class",
    "pjreddie_default",
    "pjreddie_masked",
    "pjreddie_truth_thresh",
    "scale_x_y",
    "yolov3_default",
    "yolov3_ignore_05",
    "yolov3_masked",
    "yolov3_truth_thresh",
)
# Darknet's box gradients of these are a formula of its own, not the derivative.
IOU = ("ciou", "giou", "max_delta", "new_coords", "objectness_smooth")
TOLERANCE = 1e-5


def delta_of(network, dialect, logits, targets, **options):
    """Return -d(sum over the batch)/d(logits), which is Darknet's delta, `[B, A, 5+classes, H, W]`."""
    raw = torch.as_tensor(logits).clone().requires_grad_()
    losses = DetectionLoss(network, dialect, **options)([raw], targets)
    losses.total.backward()
    head = network.layers[network.heads[0]]
    batch, _, height, width = raw.shape
    delta = -raw.grad * batch
    return delta.reshape(batch, len(head.anchor_ids), 5 + head.classes, height, width).numpy()


def recorded_case(shared, name):
    """(network, dialect, logits, targets, delta `[B, A, 5+classes, H, W]`, case) of a golden loss case."""
    folder = shared / "darknet_golden/loss"
    case, arrays = read_json(folder / f"{name}.json"), np.load(folder / f"{name}.npz")
    network = network_of(case["cfg"])
    head = network.layers[1]
    shape = (case["batch"], len(head.anchor_ids), 5 + head.classes, *arrays["delta"].shape[2:])
    dialect = "pjreddie" if name.startswith("pjreddie") else "alexeyab"
    targets = targets_of(arrays["truths"])
    return network, dialect, arrays["logits"], targets, arrays["delta"].reshape(shape), case


def assert_close(ours, theirs):
    """To 1e-5, or one float32 step of the value where that is more: class_weights has deltas of 174, step 1.5e-5."""
    allowed = np.maximum(TOLERANCE, np.spacing(np.abs(theirs).astype(np.float32)))
    worst = np.unravel_index(np.argmax(np.abs(ours - theirs) - allowed), theirs.shape)
    assert (np.abs(ours - theirs) <= allowed).all(), (
        f"[image, anchor, channel, row, column] {worst}: {ours[worst]} against {theirs[worst]}"
    )


# ---------------------------------------------------------------------------------------------- recorded by Darknet


def test_every_recorded_loss_case_is_in_a_table(shared):
    assert {path.stem for path in (shared / "darknet_golden/loss").glob("*.json")} == {
        *SQUARED_ERROR,
        *IOU,
    }


@pytest.mark.parametrize("name", SQUARED_ERROR + IOU)
def test_gradients_are_compiled_darknets_deltas(shared, name):
    """Box gradients of every iou_loss included: those of DetectionLoss(network, dialect) are Darknet's."""
    network, dialect, logits, targets, expected, _ = recorded_case(shared, name)
    delta = delta_of(network, dialect, logits, targets)
    assert np.abs(expected).max() > 0.5  # not all 0
    assert name not in IOU or np.abs(expected[:, :, :4]).max() > 0.2
    assert_close(delta, expected)


@pytest.mark.parametrize("name", SQUARED_ERROR)  # with an iou_loss Darknet prints another cost: test_darknet.py
def test_the_sum_of_squared_deltas_is_the_cost_that_darknet_prints(shared, name):
    network, dialect, logits, targets, _, case = recorded_case(shared, name)
    delta = delta_of(network, dialect, logits, targets)
    assert (delta.astype(np.float64) ** 2).sum() == pytest.approx(case["cost"], rel=1e-5)


@pytest.mark.parametrize("name", IOU)
def test_with_the_true_box_gradient_objectness_and_classes_are_compiled_darknets(shared, name):
    network, dialect, logits, targets, expected, _ = recorded_case(shared, name)
    delta = delta_of(network, dialect, logits, targets, box_gradient="autograd")
    assert_close(delta[:, :, 4:], expected[:, :, 4:])
    # the box gradients are others, but of the same cells
    assert np.array_equal(delta[:, :, :4].any(axis=2), expected[:, :, :4].any(axis=2))


def test_max_delta_limits_each_box_delta(shared):
    network, dialect, logits, targets, expected, _ = recorded_case(shared, "max_delta")
    network.head_settings = (replace(network.head_settings[0], max_delta=0.25),)
    delta = delta_of(network, dialect, np.repeat(logits, 3, axis=0), targets)[:, :, :4]
    assert np.abs(delta).max() == pytest.approx(0.25)
    network.head_settings = (replace(network.head_settings[0], max_delta=2.0),)
    assert np.abs(delta_of(network, dialect, logits, targets)[:, :, :4]).max() <= np.abs(expected).max() == 2


# ------------------------------------------------------------------------------------------ against the slow reference

HEAD = """[net]
width={width}
height={height}
channels={channels}
[maxpool]
size=1
stride_x=16
stride_y=12
[yolo]
mask={mask}
num=6
classes={classes}
anchors=8,9, 13,21, 26,14, 31,33, 50,28, 44,65
"""
ANCHORS = ((8, 9), (13, 21), (26, 14), (31, 33), (50, 28), (44, 65))
GRIDS = ((4, 7), (6, 3))  # rows, columns; a cell is 16 wide and 12 high


def random_case(seed, grid, mask, classes, keys):
    """(network, logits, rows) with several ground truths in one cell, on borders and like the predictions."""
    random = np.random.default_rng(seed)
    height, width = grid
    text = HEAD.format(
        width=16 * width,
        height=12 * height,
        channels=len(mask) * (5 + classes),
        mask=",".join(map(str, mask)),
        classes=classes,
    )
    network = network_of(text + "".join(f"{key}={value}\n" for key, value in keys.items()))
    logits = random.normal(0, 1, (3, len(mask) * (5 + classes), *grid)).astype(np.float32)
    rows = []
    for image in (0, 2):  # image 1 has no ground truth
        for _ in range(6):
            w, h = random.uniform(0.05, 0.7, 2)
            rows.append((image, random.integers(classes), *random.uniform(0.02, 0.98, 2), w, h))
        image_, _, *box = rows[-1]
        rows.append((image_, random.integers(classes), *box))  # the same box as another class
        rows.append((image_, random.integers(classes), *(np.array(box) * (1, 1, 1.04, 0.97))))
        rows.append((image, 0, (width - 1) / width, 1 / height, w, h))  # on the border of cells
        rows.append((image, 1, 1.0, 1.0, w, h))  # on the far border: the last cell
    return network, logits, np.array(rows, np.float32)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mask", [(0, 1, 2, 3, 4, 5), (1, 4)])
@pytest.mark.parametrize(
    ("dialect", "keys"),
    [
        ("pjreddie", {"ignore_thresh": 0.3}),
        ("pjreddie", {"ignore_thresh": 0.2, "truth_thresh": 0.3}),
        (
            "pjreddie",
            {"iou_normalizer": 0.07, "iou_thresh": 0.2, "label_smooth_eps": 0.1},
        ),  # it reads none of them
        ("alexeyab", {"ignore_thresh": 0.3}),
        ("alexeyab", {"ignore_thresh": 0.2, "truth_thresh": 0.3, "iou_normalizer": 0.5}),
        ("alexeyab", {"iou_thresh": 0.3, "iou_normalizer": 0.07}),
        (
            "alexeyab",
            {
                "iou_thresh": 0.2,
                "truth_thresh": 0.4,
                "label_smooth_eps": 0.1,
                "obj_normalizer": 0.4,
            },
        ),
    ],
)
def test_gradients_are_the_cell_by_cell_deltas(dialect, keys, mask, grid):
    for seed in range(2):
        network, logits, rows = random_case(seed, grid, mask, 3, keys)
        ours = delta_of(network, dialect, logits, targets_of(rows))
        for image in range(3):
            slow = slow_core.yolo_delta(
                logits[image].reshape(len(mask), 8, *grid).astype(np.float64),
                [(int(row[1]), *row[2:].astype(np.float64)) for row in rows if row[0] == image],
                anchors=ANCHORS,
                mask=mask,
                classes=3,
                network=(16 * grid[1], 12 * grid[0]),
                dialect=dialect,
                **keys,
            )
            np.testing.assert_allclose(ours[image], slow, rtol=1e-4, atol=1e-5, err_msg=f"seed {seed} image {image}")


# ------------------------------------------------------------------------------------------ against torchvision


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("giou", torchvision.ops.generalized_box_iou_loss),
        ("diou", torchvision.ops.distance_box_iou_loss),
        ("ciou", torchvision.ops.complete_box_iou_loss),
    ],
)
def test_true_box_gradients_of_an_iou_loss_are_those_of_torchvisions(kind, loss):
    grid, mask = (4, 7), (0, 1, 2, 3, 4, 5)
    network, logits, rows = random_case(1, grid, mask, 3, {"iou_loss": kind, "iou_normalizer": 0.07})
    targets = targets_of(rows)
    ours = delta_of(network, "alexeyab", logits, targets, box_gradient="autograd")[:, :, :4]
    raw = torch.tensor(logits).requires_grad_()
    boxes = cxcywh_to_xyxy(network.decode([raw]).boxes).reshape(3, 6, *grid, 4)
    total = 0
    for image, box in zip(targets.image_index.tolist(), targets.boxes, strict=True):
        fits = [slow_core.shape_iou(box[2:].tolist(), (w / (16 * 7), h / (12 * 4))) for w, h in ANCHORS]
        row, column = min(int(box[1] * 4), 3), min(int(box[0] * 7), 6)
        predicted = boxes[image, fits.index(max(fits)), row, column]
        total = total + 0.07 * loss(predicted[None], cxcywh_to_xyxy(box[None]), reduction="sum")
    total.backward()
    theirs = -raw.grad.reshape(3, 6, 8, *grid)[:, :, :4].numpy()
    assert np.abs(theirs).max() > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------ Darknet's own box gradient, pair by pair

MANY_KEYS = {
    "iou_normalizer": 0.75,
    "iou_thresh": 0.2,
    "truth_thresh": 0.4,
    "counters_per_class": "30,7,1",
    "max_delta": 1.5,  # it bounds the classes' weights too
    "scale_x_y": 1.1,
}


def slow_box_deltas(network, kind, logits, targets):
    """AlexeyAB's delta_yolo_box and averages_yolo_deltas in loops, `[B, A, 4, H, W]`, and how many numbers it clips.

    The pairs are those of assign() and the class deltas ours: both are compared with slow versions elsewhere.
    """
    head, settings = network.layers[1], network.head_settings[0]
    batch, _, height, width = logits.shape
    shape = (batch, len(head.anchor_ids), 5 + head.classes, height, width)
    classes = delta_of(network, "alexeyab", logits, targets).reshape(shape)[:, :, 5:]
    raw = torch.as_tensor(logits)
    boxes = network.decode([raw]).boxes
    probabilities = network.decode([raw]).class_probs
    dialect = DIALECTS["alexeyab"]
    assignment = assign(head, settings, dialect, boxes, probabilities, targets, (height, width))
    deltas = np.zeros((batch, len(head.anchor_ids), 4, height, width))
    clipped = 0
    pairs = zip(assignment.cell_index.tolist(), assignment.target_index.tolist(), strict=True)
    for cell, target in pairs:
        image, anchor, row, column = np.unravel_index(cell, (batch, *deltas.shape[1:2], height, width))
        box = boxes.reshape(-1, 4)[cell].double().tolist()
        gradient = box_gradient(kind, box, targets.boxes[target].double().tolist())
        factor = settings.iou_normalizer * settings.class_multipliers[targets.labels[target]]
        for channel in range(4):
            value = logits.reshape(shape)[image, anchor, channel, row, column]
            chained = math.exp(value) if channel > 1 else 1
            delta = factor * gradient[channel] * chained
            clipped += abs(delta) > settings.max_delta
            delta = max(-settings.max_delta, min(settings.max_delta, delta))
            deltas[image, anchor, channel, row, column] += delta
    for image, anchor, row, column in np.ndindex(batch, len(head.anchor_ids), height, width):
        more = (classes[image, anchor, :, row, column] > 0).sum()
        deltas[image, anchor, :, row, column] /= max(more, 1)
    return deltas, clipped


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_darknets_box_gradients_are_the_pair_by_pair_deltas(kind):
    network, logits, rows = random_case(2, (4, 7), (0, 1, 2, 3, 4, 5), 3, MANY_KEYS | {"iou_loss": kind})
    targets = targets_of(rows)
    ours = delta_of(network, "alexeyab", logits, targets)[:, :, :4]
    slow, clipped = slow_box_deltas(network, kind, logits, targets)
    assert clipped > 0 and np.abs(slow).max() > 1
    np.testing.assert_allclose(ours, slow, rtol=1e-3, atol=1e-5)


def test_the_last_of_several_boxes_in_one_cell_counts_for_pjreddie():
    network, _, _ = random_case(0, (4, 7), (0, 1), 3, {"iou_loss": "giou"})
    logits = np.random.default_rng(0).normal(0, 1, (1, 16, 4, 7)).astype(np.float32)
    first, last = (0, 0, 0.4, 0.4, 8 / 112, 9 / 48), (0, 1, 0.41, 0.42, 9 / 112, 9 / 48)
    both, alone = (
        delta_of(network, "pjreddie", logits, targets_of(rows))[:, :, :4] for rows in ([first, last], [last])
    )
    assert alone.any() and np.array_equal(both, alone)


# ---------------------------------------------------------------------------------------------------------- by hand

ONE_CELL = """[net]
width=8
height=8
channels=7
[maxpool]
size=1
stride=8
[yolo]
classes=2
num=1
anchors=4,4
"""


def test_the_gradient_of_one_cell_by_hand():
    # every probability of a zero map is 1/2; the ground truth is centered at (3/4, 1/2) with the anchor's size, class 1
    targets = targets_of([(0, 1, 0.75, 0.5, 0.5, 0.5)])
    delta = delta_of(network_of(ONE_CELL), "alexeyab", np.zeros((1, 7, 1, 1), np.float32), targets).flatten()
    small = 0.75 * (2 - 0.25)  # iou_normalizer's default, and small boxes weigh more
    assert delta.tolist() == pytest.approx([small * 0.25, 0, 0, 0, 0.5, -0.5, 0.5])


def test_losses_are_named_parts_of_the_total_and_detached():
    network, logits, rows = random_case(0, (4, 7), (1, 4), 3, {})
    losses = DetectionLoss(network)([torch.tensor(logits).requires_grad_()], targets_of(rows))
    parts = losses.box + losses.objectness + losses.classification
    assert losses.total.item() == pytest.approx(parts.item())
    assert losses.total.requires_grad and not parts.requires_grad and not losses.iou.requires_grad
    assert losses.total.shape == ()
    assert losses.assigned > 0 and 0 < losses.iou.item() < 1


def test_the_loss_of_a_perfect_box_has_iou_one_and_no_box_gradient():
    raw = np.zeros((1, 7, 1, 1), np.float32)
    targets = targets_of([(0, 0, 0.5, 0.5, 0.5, 0.5)])
    losses = DetectionLoss(network_of(ONE_CELL))([torch.tensor(raw)], targets)
    assert losses.iou.item() == pytest.approx(1.0) and losses.assigned == 1
    assert not delta_of(network_of(ONE_CELL), "alexeyab", raw, targets)[:, :, :4].any()


def test_the_loss_is_a_mean_over_images():
    network, logits, rows = random_case(0, (4, 7), (1, 4), 3, {})
    loss = DetectionLoss(network)
    alone = [
        loss(
            [torch.tensor(logits[i : i + 1])],
            targets_of([(0, *row[1:]) for row in rows if row[0] == i]),
        )
        for i in range(3)
    ]
    together = loss([torch.tensor(logits)], targets_of(rows))
    assert together.total.item() == pytest.approx(sum(part.total.item() for part in alone) / 3, rel=1e-5)


@pytest.mark.parametrize("iou_loss", ["mse", "giou", "ciou"])
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_without_a_ground_truth_every_cell_learns_objectness_0(dialect, iou_loss):
    network, logits, _ = random_case(0, (4, 7), (1, 4), 3, {"iou_loss": iou_loss})
    delta = delta_of(network, dialect, logits, targets_of([]))
    sigmoid = 1 / (1 + np.exp(-logits.reshape(3, 2, 8, 4, 7)[:, :, 4]))
    np.testing.assert_allclose(delta[:, :, 4], -sigmoid, atol=1e-6)
    assert not delta[:, :, :4].any() and not delta[:, :, 5:].any()
    losses = DetectionLoss(network, dialect)([torch.tensor(logits)], targets_of([]))
    assert losses.assigned == 0 and losses.iou == 0 and losses.box == 0


def test_a_label_that_is_not_a_class_is_ignored():
    network, logits, rows = random_case(0, (4, 7), (1, 4), 3, {})
    strange = np.array([(0, 3, 0.5, 0.5, 0.4, 0.4), (0, -1, 0.5, 0.5, 0.4, 0.4)], np.float32)
    with_strange = delta_of(network, "alexeyab", logits, targets_of(np.concatenate((strange, rows))))
    assert np.array_equal(with_strange, delta_of(network, "alexeyab", logits, targets_of(rows)))


@pytest.mark.parametrize("iou_loss", ["mse", "iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("box_gradient", ["autograd", "darknet"])
def test_a_box_without_width_or_height_gives_finite_gradients(iou_loss, box_gradient):
    network, logits, _ = random_case(0, (4, 7), (0, 1), 3, {"iou_loss": iou_loss})
    flat = [(0, 0, 0.5, 0.5, 0.0, 0.0), (1, 1, 0.3, 0.3, 0.2, 0.0)]
    targets = targets_of(flat)
    delta = delta_of(network, "alexeyab", logits, targets, box_gradient=box_gradient)
    assert np.isfinite(delta).all()


def test_pjreddie_ignores_keys_of_alexeyab():
    plain, logits, rows = random_case(0, (4, 7), (1, 4), 3, {"iou_normalizer": 1})
    keys = {
        "iou_normalizer": 0.07,
        "obj_normalizer": 0.4,
        "label_smooth_eps": 0.1,
        "iou_thresh": 0.2,
        "counters_per_class": "1,20,30",
        "focal_loss": 1,
        "objectness_smooth": 1,
        "delta_normalizer": 3,
    }
    full, _, _ = random_case(0, (4, 7), (1, 4), 3, keys)
    targets = targets_of(rows)
    expected = delta_of(plain, "pjreddie", logits, targets)
    assert np.array_equal(delta_of(full, "pjreddie", logits, targets), expected)


def test_unknown_options_and_networks_without_a_head_are_errors():
    with pytest.raises(ValueError, match="found dialect 'ultralytics', expected one of alexeyab, pjreddie"):
        DetectionLoss(network_of(ONE_CELL), "ultralytics")
    with pytest.raises(ValueError, match="without a detection head"):
        DetectionLoss(network_of(ONE_CELL.partition("[yolo]")[0]))
    with pytest.raises(ValueError, match="found box_gradient 'true', expected one of autograd"):
        DetectionLoss(network_of(ONE_CELL), box_gradient="true")


# ------------------------------------------------------------------------------------------------------ eight steps


def test_eight_training_steps_are_compiled_darknets(shared, tmp_path):
    """Forward, loss, batch norm and optimizer together, as recorded: costs and final parameters."""
    folder = shared / "darknet_golden/train/mini-yolov3"
    case, expected = read_json(folder / "case.json"), np.load(folder / "expected.npz")
    generator = make_weights(shared)
    generator.write_weights(case, tmp_path / "start.weights")
    network = Network.from_cfg(folder / case["cfg"]).train()
    load_weights(network, tmp_path / "start.weights")
    images = torch.from_numpy(generator.network_input(case))

    costs, rates = train(network, images, expected["truths"], case["steps"])
    assert rates == pytest.approx(case["learning_rate_per_step"], rel=1e-6)
    assert costs == pytest.approx(case["cost_per_minibatch"], rel=1e-3)
    save_weights(network, tmp_path / "end.weights")
    ours = np.fromfile(tmp_path / "end.weights", "<f4", offset=20)
    theirs = expected["final_parameters"]
    assert np.linalg.norm(ours - theirs) <= 1e-3 * np.linalg.norm(theirs)
    # most of that norm never moved: what was learned must agree as well
    start = np.fromfile(tmp_path / "start.weights", "<f4", offset=20)
    assert np.linalg.norm(ours - theirs) <= 1e-3 * np.linalg.norm(theirs - start)


def train(network, images, ground_truths, steps):
    """Darknet's costs of all mini-batches and the learning rates of all steps."""
    settings = network.training_settings
    weights = [layer.conv.weight for layer in network.layers if hasattr(layer, "conv")]
    others = [p for p in network.parameters() if all(p is not weight for weight in weights)]
    groups = [{"params": weights, "weight_decay": settings.decay}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    loss = DetectionLoss(network, "pjreddie")
    part = settings.batch // settings.subdivisions
    costs, rates = [], []
    for step in range(1, steps + 1):
        rates.append(learning_rate(settings.schedule, step))
        for group in optimizer.param_groups:
            group["lr"] = rates[-1]
        for _ in range(settings.subdivisions):
            first = len(costs) * part
            here = (ground_truths[:, 0] >= first) & (ground_truths[:, 0] < first + part)
            targets = targets_of(ground_truths[here] - np.array([first, 0, 0, 0, 0, 0], np.float32))
            raw = network(images[first : first + part])
            for map_ in raw:
                map_.retain_grad()
            (loss(raw, targets).total / settings.subdivisions).backward()
            deltas = [map_.grad * settings.batch for map_ in raw]
            costs.append(np.mean([delta.double().square().sum().item() for delta in deltas]))
        optimizer.step()
        optimizer.zero_grad()
    return costs, rates


def test_max_delta_limits_the_delta_and_not_the_divided_gradient(shared):
    network, dialect, logits, targets, _, _ = recorded_case(shared, "max_delta")
    network.head_settings = (replace(network.head_settings[0], max_delta=0.25),)
    whole = delta_of(network, dialect, logits, targets)
    raw = torch.as_tensor(logits).clone().requires_grad_()
    (DetectionLoss(network, dialect)([raw], targets).total / 4).backward()
    part = -raw.grad.numpy().reshape(whole.shape) * len(raw) * 4
    np.testing.assert_allclose(part, whole, atol=1e-6)
