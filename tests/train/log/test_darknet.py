"""yolo.train.log.darknet: Darknet's lines and costs, as both compiled programs printed them."""

import math
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of, read_json, targets_of
from yolo.train.log.console import StepReport
from yolo.train.log.darknet import DarknetLoss, alexeyab_step, pjreddie_step
from yolo.train.losses.detection import DetectionLoss

# Printed by pjreddie's compiled forward_yolo_layer for the recorded logits and ground truths of
# ../shared/darknet_golden/loss;
# for no_truth it printed -nan in the places that are 0.000000 here.
PJREDDIE = {
    "pjreddie_default": "Region 1 Avg IOU: 0.354992, Class: 0.622592, Obj: 0.439479, No Obj: 0.507852, "
    ".5R: 0.312500, .75R: 0.062500,  count: 16",
    "pjreddie_masked": "Region 1 Avg IOU: 0.415514, Class: 0.502205, Obj: 0.432271, No Obj: 0.493353, "
    ".5R: 0.384615, .75R: 0.153846,  count: 13",
    "pjreddie_truth_thresh": "Region 1 Avg IOU: 0.540889, Class: 0.403450, Obj: 0.681742, No Obj: 0.516176, "
    ".5R: 0.666667, .75R: 0.166667,  count: 12",
    "no_truth": "Region 1 Avg IOU: 0.000000, Class: 0.000000, Obj: 0.000000, No Obj: 0.537811, "
    ".5R: 0.000000, .75R: 0.000000,  count: 0",
}
ALEXEYAB = (
    "alexeyab_default", "ciou", "class_weights", "focal_loss", "giou", "iou_thresh", "label_smooth",
    "max_delta", "new_coords", "no_truth", "objectness_smooth", "one_class", "scale_x_y",
    "yolov3_default", "yolov3_ignore_05", "yolov3_masked", "yolov3_truth_thresh",
)  # fmt: skip
NUMBER = re.compile(r"-?\d+\.\d{6}")
STEP = 1e-6  # the last digit that Darknet prints
TOLERANCE = 3e-7  # of the largest number of a line: it is summed in float32 there


def losses_and_case(shared, name, dialect):
    """Return the DarknetLosses of a recorded case, and the case."""
    folder = shared / "darknet_golden/loss"
    case, arrays = read_json(folder / f"{name}.json"), np.load(folder / f"{name}.npz")
    network = network_of(case["cfg"])
    loss = DarknetLoss(DetectionLoss(network, dialect), network, dialect)
    raw = torch.as_tensor(arrays["logits"]).clone().requires_grad_()
    return loss([raw], targets_of(arrays["truths"])), case


def assert_same_line(ours, theirs):
    """Letter by letter, but for the last digits of numbers."""
    assert NUMBER.sub("#", ours) == NUMBER.sub("#", theirs)
    numbers = [np.array(NUMBER.findall(line), float) for line in (ours, theirs)]
    allowed = 1.5 * STEP + TOLERANCE * np.abs(numbers[1]).max()
    assert np.abs(numbers[0] - numbers[1]).max() <= allowed, (ours, theirs)


def test_every_recorded_line_is_in_a_table(shared):
    cases = (shared / "darknet_golden/loss").glob("*.json")
    assert {path.stem for path in cases} == {*ALEXEYAB, *PJREDDIE}


@pytest.mark.parametrize("name", ALEXEYAB)
def test_the_line_of_a_head_is_alexeyabs(shared, name):
    losses, case = losses_and_case(shared, name, "alexeyab")
    (line,), (expected,) = losses.lines(), case["darknet_log"]
    assert_same_line(line, expected)
    assert float(losses.darknet_loss) * case["batch"] == pytest.approx(case["cost"], rel=5e-7)


@pytest.mark.parametrize("name", PJREDDIE)
def test_the_line_of_a_head_is_pjreddies_but_0_for_nan(shared, name):
    losses, case = losses_and_case(shared, name, "pjreddie")
    (line,) = losses.lines()
    assert_same_line(line, PJREDDIE[name])
    assert float(losses.darknet_loss) * case["batch"] == pytest.approx(case["cost"], rel=5e-7)


CFG = """[net]
width=32
height=16
channels=3
[convolutional]
filters=21
size=1
stride=16
[yolo]
mask=0,1,2
anchors=4,4, 8,8, 12,12, 20,10
classes=2
num=4
[route]
layers=0
[yolo]
mask=3,2,1
anchors=4,4, 8,8, 12,12, 20,10
classes=2
num=4
iou_loss=giou
"""


def test_two_heads_have_two_lines_and_the_gradient_is_the_same_as_without_them():
    """Darknet's loss is the mean over heads of their costs, an image (get_network_cost, train_network)."""
    network = network_of(CFG)
    raw = [torch.randn(2, 21, 1, 2, requires_grad=True) for _ in range(2)]
    copies = [map_.detach().clone().requires_grad_() for map_ in raw]
    targets = targets_of([(0, 1, 0.3, 0.5, 0.25, 0.5), (1, 0, 0.7, 0.4, 0.6, 0.6), (1, 7, 0.5, 0.5, 0.1, 0.1)])
    plain = DetectionLoss(network)
    losses = DarknetLoss(plain, network, "alexeyab")(raw, targets, 64)
    losses.total.backward()
    expected = plain(copies, targets, 64)
    expected.total.backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(raw, copies, strict=True))
    scalars = losses.scalars()
    assert {**expected.scalars(), "loss/darknet": losses.darknet_loss}.keys() == scalars.keys()
    lines = losses.lines()
    assert "(mse loss" in lines[0] and "Region 1 " in lines[0]
    assert "(giou loss" in lines[1] and "Region 3 " in lines[1]
    mse, _ = (float(re.search(r"total_loss = ([\d.]+)", line)[1]) for line in lines)
    others = float(re.search(r"class_loss = ([\d.]+)", lines[1])[1])
    giou = float(losses.reports[1].statistics.giou)
    # by hand: two images; the second head's cost has .75 * (1 - giou) for its boxes
    assert float(losses.darknet_loss) == pytest.approx((2 * mse + 2 * others + 0.75 * (1 - giou)) / 2 / 2, rel=1e-5)


def test_pjreddie_ignores_iou_thresh():
    """By hand: one ground truth of 12 x 12 pixels has one best anchor there; AlexeyAB's adds all with IoU above .1."""
    network = network_of(CFG.replace("iou_loss=giou", "iou_thresh=.1"))
    raw = [torch.zeros(1, 21, 1, 2) for _ in range(2)]
    targets = targets_of([(0, 1, 0.3, 0.5, 12 / 32, 12 / 16)])
    counts = {}
    for dialect in ("alexeyab", "pjreddie"):
        losses = DarknetLoss(DetectionLoss(network, dialect), network, dialect)(raw, targets)
        counts[dialect] = [int(report.statistics.count) for report in losses.reports]
    assert counts == {"alexeyab": [1, 3], "pjreddie": [1, 1]}


@dataclass
class OtherHead:
    classes: int = 2


def test_a_head_of_another_kind_counts_in_the_loss_and_has_no_line():
    """Its delta here, by hand: of a loss 3·sum(raw)/2 images, -3 in each of 8 places."""

    @dataclass
    class Losses:
        total: torch.Tensor

        def scalars(self):
            return {"loss/total": self.total}

    class Net:
        heads, layers, head_settings = (5,), {5: OtherHead()}, (None,)

    raw = [torch.zeros(2, 4, 1, 1, requires_grad=True)]
    log = DarknetLoss(lambda raw, targets, seen: Losses(3 * raw[0].sum() / 2), Net, "alexeyab")
    losses = log(raw, targets_of([]))
    assert losses.lines() == [] and float(losses.darknet_loss) == 8 * 9 / 2


REPORT = StepReport(
    step=8001, last_step=9000, loss=0.5954421, average_loss=0.75, learning_rate=0.0013, metrics={},
    seconds=13.20925, images_per_second=5.0, seconds_left=5400, images=64,
)  # fmt: skip


def test_the_line_of_a_step_is_darknets():
    # The first is after a line that AlexeyAB's printed: "8001: 0.595442, 0.595442 avg loss, 0.001300 rate, 13.209250
    # seconds, 512064 images, -1.000000 hours left"; the second after pjreddie's format, by hand.
    unknown = replace(REPORT, seconds_left=math.nan, average_loss=REPORT.loss)
    assert alexeyab_step(unknown) == (
        "\n 8001: 0.595442, 0.595442 avg loss, 0.001300 rate, 13.209250 seconds, 512064 images, -1.000000 hours left"
    )
    assert alexeyab_step(REPORT).endswith(
        "0.750000 avg loss, 0.001300 rate, 13.209250 seconds, 512064 images, 1.500000 hours left"
    )
    assert pjreddie_step(REPORT) == ("8001: 0.595442, 0.750000 avg, 0.001300 rate, 13.209250 seconds, 512064 images")
