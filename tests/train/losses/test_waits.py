"""A training step never waits for a GPU before its backward pass has begun.

Tensors on PyTorch's meta device have shapes and no values. An operation that needs values on the CPU, which is what
waits for a GPU (nonzero, unique, a boolean mask as an index, .item(), .tolist(), bool(tensor), .cpu() ...), raises an
error there. `Copies` counts what waits too but is no error on the meta device: numbers of Python that PyTorch copies to
the GPU one by one.
"""

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.helpers.golden import network_of, targets_of
from yolo.train.ema import standard_ema
from yolo.train.losses.detection import DetectionLoss

CFG = """[net]
width=64
height=32
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=mish
[maxpool]
size=2
stride=2
[route]
layers=-1
[convolutional]
filters={filters}
size=1
activation={activation}
[{kind}]
mask=0,1
num=3
classes=2
anchors=4,4, 8,6, 10,20
{keys}
"""
TARGETS = [(0, 0, 0.2, 0.3, 0.1, 0.2), (0, 1, 0.2, 0.3, 0.1, 0.2), (2, 1, 0.7, 0.6, 0.3, 0.3)]
FROM_LISTS = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
INDEXING = (Tensor.__getitem__, Tensor.__setitem__)


class Copies(TorchFunctionMode):
    """Counts calls that copy to the device `meta` and wait: lists, numbers put at indices, and indices of the CPU."""

    def __init__(self):
        self.found = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if function in FROM_LISTS and result.is_meta:
            self.found.append(function.__name__)
        if function in INDEXING and arguments[0].is_meta:
            index = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
            tensors = [each for each in index if isinstance(each, Tensor)]
            number = function is Tensor.__setitem__ and not isinstance(arguments[2], Tensor)
            if tensors and (number or not all(each.is_meta for each in tensors)):
                self.found.append(function.__name__)
        return result


def step_on_meta(kind, keys, targets, dialect="alexeyab", **options):
    """Run forward, loss, backward, update and EMA without values; return the calls that Copies found."""
    values = 9 if kind == "Gaussian_yolo" else 5
    activation = "logistic" if "new_coords" in keys else "linear"
    network = network_of(CFG.format(kind=kind, keys=keys, filters=2 * (values + 2), activation=activation)).to("meta")
    loss, ema = DetectionLoss(network, dialect, **options), standard_ema(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    with Copies() as copies:
        losses = loss(network.train()(torch.zeros(3, 3, 32, 64, device="meta")), targets)
        scalars = [value for value in losses.scalars().values() if isinstance(value, Tensor)]
        assert torch.stack(scalars).is_meta  # one transfer takes them to the CPU: yolo/train/log/copied.py
        losses.total.backward()
        optimizer.step()
        ema.update(network, 1)
    return copies.found


@pytest.mark.parametrize("targets", [TARGETS, []], ids=["objects", "background"])
@pytest.mark.parametrize(
    "keys",
    [
        "",
        "iou_loss=ciou\niou_thresh=0.2\nscale_x_y=1.05",
        "iou_loss=giou\nfocal_loss=1",
        "new_coords=1\nobjectness_smooth=1\niou_loss=ciou\niou_thresh=0.2",
        "counters_per_class=10,20",
    ],
)
def test_a_step_with_yolo_heads_waits_for_nothing(keys, targets):
    assert step_on_meta("yolo", keys, targets_of(targets)) == []
    assert step_on_meta("yolo", keys, targets_of(targets), "pjreddie", box_gradient="autograd") == []


@pytest.mark.parametrize("keys", ["", "iou_loss=ciou\niou_thresh=0.2"])
def test_a_step_with_gaussian_heads_waits_for_nothing(keys):
    assert step_on_meta("Gaussian_yolo", keys, targets_of(TARGETS)) == []


def test_responsible_cells_by_prediction_are_counted_on_the_cpu():
    with pytest.raises((NotImplementedError, RuntimeError)):
        step_on_meta("yolo", "truth_thresh=0.5", targets_of(TARGETS))


def test_numbers_that_are_copied_are_counted():
    with Copies() as copies:
        values = torch.zeros(3, device="meta")
        values.new_tensor([1, 2])
        values[torch.zeros(1, dtype=torch.int64, device="meta")] = 1.0
        values[torch.tensor([0])]
        values[0], values[1:] = 1.0, 2.0  # these two numbers are arguments of a kernel
    assert copies.found == ["new_tensor", "__setitem__", "__getitem__"]
