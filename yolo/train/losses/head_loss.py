"""What the losses of all kinds of heads share: the records that they take and return, and the squared error."""

from dataclasses import dataclass

from torch import Tensor

from yolo.train.losses.assign import Dialect


@dataclass(frozen=True)
class LossOptions:
    """What decides the arithmetic of a head's loss beside its section.

    dialect: which Darknet; seen: number of images that the weights were trained on before this batch;
    box_gradient: of iou_loss iou, giou, diou and ciou: "darknet", Darknet's own formula, or "autograd", the true one.
    """

    dialect: Dialect
    seen: int
    box_gradient: str


def half_square(values: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, element by element; its negative derivative is `targets - values`."""
    return 0.5 * (values - targets).square()


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one head, summed over a batch.

    box, objectness, classification: scalars with a gradient.
    ious: `[K]`, detached, IoU of each pair of a positive cell and its ground truth.
    cells: number of cells (times anchors) in the batch; ignored: scalar, how many of them have no objectness loss.
    """

    box: Tensor
    objectness: Tensor
    classification: Tensor
    ious: Tensor
    cells: int
    ignored: Tensor
