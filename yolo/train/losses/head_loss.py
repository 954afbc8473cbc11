"""What every head's loss is told beside its section, and what it gives back."""

from dataclasses import dataclass

from torch import Tensor

from yolo.train.losses.assign import Dialect


@dataclass(frozen=True)
class Rules:
    """What decides a head's arithmetic beside its section.

    dialect: whose Darknet; seen: images that the weights were trained on before this batch;
    box_gradient: of iou_loss iou, giou, diou and ciou: "darknet", Darknet's own formula, or "autograd", the true one.
    """

    dialect: Dialect
    seen: int
    box_gradient: str


@dataclass(frozen=True)
class HeadLoss:
    """Sums over a batch of one head's loss, and what happened in it.

    box, objectness, classification: scalars that carry the gradient; ious: `[K]`, detached, of each pair of a cell and
    its ground truth; cells: number of cells times anchors in the batch; ignored: scalar, how many of them should say neither
    "object" nor "nothing".
    """

    box: Tensor
    objectness: Tensor
    classification: Tensor
    ious: Tensor
    cells: int
    ignored: Tensor
