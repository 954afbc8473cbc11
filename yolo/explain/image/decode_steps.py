"""Decode a box step by step, one line for each step: from the values of the raw map to pixels of the image.

Every head has its own formulas; they are those of its `decode`. The numbers here are computed one by one in float64
from the raw values, so the results agree with `Network.decode` up to the rounding of float32.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.explain.image.origin import HeadGrid, Origin
from yolo.letterbox import Placement
from yolo.model.class_tree import class_paths, group_softmax
from yolo.model.heads.region import COORDS, RegionHead
from yolo.model.heads.yolo import GAUSSIAN_BOX, YoloHead
from yolo.model.heads.yolov1 import YoloV1Head

Head = YoloHead | RegionHead | YoloV1Head
AXES = (("x", "column", "width"), ("y", "row", "height"))


@dataclass(frozen=True)
class DecodeStep:
    """A line of a calculation: `formula` in symbols, the same `with_numbers`, and the `value`."""

    formula: str
    with_numbers: str
    value: float


@dataclass(frozen=True)
class Quantity:
    """The result of some steps. `value` is that of the last step; symbol: its name in the formulas."""

    name: str
    symbol: str
    value: float
    steps: tuple[DecodeStep, ...]


@dataclass(frozen=True)
class DecodedBox:
    """A box as numbers. raw: the values of the raw map by name, those of the other classes left out.

    quantities: x, y, w, h as fractions of the network input; then objectness, class probability, score.
    in_image: the center x, y and width, height in pixels of the image.
    """

    raw: tuple[tuple[str, float], ...]
    quantities: tuple[Quantity, ...]
    in_image: tuple[Quantity, ...]

    def value(self, symbol: str) -> float:
        """Return a quantity by its symbol: x, y, w, h, obj, p or score."""
        return next(each.value for each in self.quantities if each.symbol == symbol)


def decoded_box(
    head: Head, grid: HeadGrid, raw: Tensor, origin: Origin, label: int, name: str, placement: Placement
) -> DecodedBox:
    """Decode one box of one image, step by step.

    Args:
        head: the head that made it.
        grid: of the head.
        raw: the head's raw map, `[1, A*(V+classes), H, W]`, or that of a [detection].
        origin: anchor, row and column.
        label: the class whose score is computed.
        name: of that class.
        placement: of the image in the network input.
    """
    values = _values(head, raw, origin)
    if isinstance(head, YoloHead):
        box, scores = _yolo_box(head, grid, origin, values), _yolo_scores(head, values, label, name)
    elif isinstance(head, RegionHead):
        box, scores = _region_box(head, grid, origin, values), _region_scores(head, values, label, name)
    else:
        box, scores = _yolov1_box(head, origin, values), _yolov1_scores(head, values, label, name)
    return DecodedBox(
        raw=_raw_values(head, values, label, name),
        quantities=(*box, *scores),
        in_image=_in_image([each.value for each in box], placement),
    )


def _values(head: Head, raw: Tensor, origin: Origin) -> list[float]:
    """Return the raw values of a box: its coordinates, objectness, then all classes."""
    with torch.no_grad():
        if isinstance(head, YoloV1Head):
            classes, objectness, boxes = head.split(raw)
            row, column, number = origin.row, origin.column, origin.anchor
            return [*boxes[0, row, column, number].tolist(), float(objectness[0, row, column, number]),
                    *classes[0, row, column].tolist()]  # fmt: skip
        return head.split(raw)[0, origin.anchor, origin.row, origin.column].tolist()


def _raw_values(head: Head, values: list[float], label: int, name: str) -> tuple[tuple[str, float], ...]:
    """Name the values that matter for a class."""
    names = ["t_x", "t_y", "t_w", "t_h"]
    if isinstance(head, YoloHead) and head.gaussian:
        names = ["t_x", "s_x", "t_y", "s_y", "t_w", "s_w", "t_h", "s_h"]
    if isinstance(head, YoloV1Head):
        names = ["x", "y", "w", "h"]
    first = len(names)
    return (*zip(names, values[:first], strict=True), ("objectness", values[first]), (name, values[first + 1 + label]))


def _yolo_box(head: YoloHead, grid: HeadGrid, origin: Origin, values: list[float]) -> list[Quantity]:
    """Source: YoloHead.decode_boxes."""
    step = 2 if head.gaussian else 1
    t = values[0 : 4 * step : step]
    anchor = grid.anchors[origin.anchor]
    sizes = []
    for place, (_, _, side) in enumerate(AXES):
        letter, value, length, cells = "wh"[place], t[2 + place], anchor[place], _cells(grid)[place]
        pixels = cells * head.stride[1 - place]
        if head.new_coords:
            factor = DecodeStep(f"(2·t_{letter})²", f"(2 · {_n(value)})²", (2 * value) ** 2)
        else:
            factor = DecodeStep(f"e^t_{letter}", f"e^{_n(value)}", _exp(value))
        scaled = DecodeStep(f"× anchor {side}", f"{_n(factor.value)} × {_n(length)} px", factor.value * length)
        part = DecodeStep(f"/ input {side}", f"{_n(scaled.value)} / {_n(pixels)}", scaled.value / pixels)
        sizes.append(Quantity(side, letter, part.value, (factor, scaled, part)))
    centers = []
    for place, (letter, cell, side) in enumerate(AXES):
        steps = [_logistic(f"t_{letter}", t[place], head.new_coords)]
        if head.scale_x_y != 1:
            shift = 0.5 * (head.scale_x_y - 1)
            steps.append(
                DecodeStep(
                    f"× scale_x_y − {_n(shift)}",
                    f"{_n(head.scale_x_y)} · {_n(steps[-1].value)} − {_n(shift)}",
                    steps[-1].value * head.scale_x_y - shift,
                )
            )
        steps.append(_in_grid(cell, (origin.column, origin.row)[place], steps[-1].value, _cells(grid)[place]))
        if head.center_shift:
            size = sizes[place]
            steps.append(
                DecodeStep(
                    f"+ {_n(head.center_shift)} × {side}",
                    f"{_n(steps[-1].value)} + {_n(head.center_shift)} · {_n(size.value)}",
                    steps[-1].value + head.center_shift * size.value,
                )
            )
        centers.append(Quantity(f"center {letter}", letter, steps[-1].value, tuple(steps)))
    return [*centers, *sizes]


def _yolo_scores(head: YoloHead, values: list[float], label: int, name: str) -> list[Quantity]:
    first = GAUSSIAN_BOX if head.gaussian else COORDS
    objectness = _logistic("t_obj", values[first], head.new_coords)
    steps = [_logistic(f"t_{name}", values[first + 1 + label], head.new_coords)]
    if head.gaussian:
        sigmas = [_sigmoid(each) for each in values[1:GAUSSIAN_BOX:2]]
        mean = DecodeStep(
            "uncertainty: mean of σ(s_x), σ(s_y), σ(s_w), σ(s_h)",
            f"({' + '.join(map(_n, sigmas))}) / 4",
            sum(sigmas) / 4,
        )
        steps += [
            mean,
            DecodeStep(
                "× (1 − uncertainty)",
                f"{_n(steps[0].value)} · (1 − {_n(mean.value)})",
                steps[0].value * (1 - mean.value),
            ),
        ]
    return _scores(objectness, steps, name)


def _region_box(head: RegionHead, grid: HeadGrid, origin: Origin, values: list[float]) -> list[Quantity]:
    """Source: RegionHead.decode_boxes."""
    anchor = head.anchors[origin.anchor].tolist()
    quantities = []
    for place, (letter, cell, _) in enumerate(AXES):
        offset = _logistic(f"t_{letter}", values[place], False)
        placed = _in_grid(cell, (origin.column, origin.row)[place], offset.value, _cells(grid)[place])
        quantities.append(Quantity(f"center {letter}", letter, placed.value, (offset, placed)))
    for place, (_, _, side) in enumerate(AXES):
        letter, value, cells = "wh"[place], values[2 + place], _cells(grid)[place]
        factor = DecodeStep(f"e^t_{letter}", f"e^{_n(value)}", _exp(value))
        scaled = DecodeStep(
            f"× anchor {side}", f"{_n(factor.value)} × {_n(anchor[place])} cells", factor.value * anchor[place]
        )
        part = DecodeStep(f"/ cells of the grid's {side}", f"{_n(scaled.value)} / {cells}", scaled.value / cells)
        quantities.append(Quantity(side, letter, part.value, (factor, scaled, part)))
    return quantities


def _region_scores(head: RegionHead, values: list[float], label: int, name: str) -> list[Quantity]:
    """Source: RegionHead.decode; with a tree the score of a detection is its objectness (best_class_one_hot)."""
    logits = values[COORDS + 1 :]
    objectness = _logistic("t_obj", values[COORDS], False)
    if head.tree is not None:
        return _tree_scores(head, objectness, logits, label, name)
    if head.background:
        objectness = DecodeStep("1, as background=1", "1", 1.0)
        logits = values[COORDS:]
        return _scores(objectness, [_softmax_step(logits, label + 1, name, "objectness and the classes")], name)
    if head.softmax:
        return _scores(objectness, [_softmax_step(logits, label, name, "the classes")], name)
    return _scores(objectness, [_logistic(f"t_{name}", logits[label], False)], name)


def _tree_scores(
    head: RegionHead, objectness: DecodeStep, logits: list[float], label: int, name: str
) -> list[Quantity]:
    """Return the steps down the path of a class: each class's probability given its parent, times its parent's."""
    tree = head.tree
    given_parent = group_softmax(torch.tensor(logits, dtype=torch.float64), tree)
    path = [each for each in class_paths(torch.tensor([label]), tree)[0].tolist() if each >= 0]
    steps: list[DecodeStep] = []
    for each in reversed(path):
        part = float(given_parent[each])
        if steps:
            above = steps[-1].value
            steps.append(DecodeStep(f"× p({tree.names[each]} | parent)", f"{_n(above)} · {_n(part)}", above * part))
        else:
            steps.append(DecodeStep(f"p({tree.names[each]}), softmax of its group", _n(part), part))
    score = DecodeStep("objectness alone: the tree chose the class", _n(objectness.value), objectness.value)
    return [
        Quantity("objectness", "obj", objectness.value, (objectness,)),
        Quantity(f"probability of {name}", "p", steps[-1].value, tuple(steps)),
        Quantity("score", "score", score.value, (score,)),
    ]


def _yolov1_box(head: YoloV1Head, origin: Origin, values: list[float]) -> list[Quantity]:
    """Source: YoloV1Head.decode."""
    quantities = []
    for place, (letter, cell, _) in enumerate(AXES):
        placed = _in_grid(cell, (origin.column, origin.row)[place], values[place], head.side, letter)
        quantities.append(Quantity(f"center {letter}", letter, placed.value, (placed,)))
    for place, (_, _, side) in enumerate(AXES):
        letter, value = "wh"[place], values[2 + place]
        step = (
            DecodeStep(f"{letter}²", f"{_n(value)}²", value**2)
            if head.squared
            else DecodeStep(letter, _n(value), value)
        )
        quantities.append(Quantity(side, letter, step.value, (step,)))
    return quantities


def _yolov1_scores(head: YoloV1Head, values: list[float], label: int, name: str) -> list[Quantity]:
    objectness = DecodeStep("as it is in the map", _n(values[COORDS]), values[COORDS])
    logits = values[COORDS + 1 :]
    if head.softmax:
        return _scores(objectness, [_softmax_step(logits, label, name, "the classes of the cell")], name)
    return _scores(objectness, [DecodeStep("as it is in the map", _n(logits[label]), logits[label])], name)


def _scores(objectness: DecodeStep, steps: list[DecodeStep], name: str) -> list[Quantity]:
    probability = steps[-1].value
    score = DecodeStep(
        "objectness × probability", f"{_n(objectness.value)} · {_n(probability)}", objectness.value * probability
    )
    return [
        Quantity("objectness", "obj", objectness.value, (objectness,)),
        Quantity(f"probability of {name}", "p", probability, tuple(steps)),
        Quantity("score", "score", score.value, (score,)),
    ]


def _in_image(box: list[float], placement: Placement) -> tuple[Quantity, ...]:
    """Turn x, y, w, h, fractions of the network input, into pixels of the image, as `yolo.letterbox.to_image`."""
    quantities = []
    for place, (letter, name) in enumerate((("x", "center x"), ("y", "center y"), ("w", "width"), ("h", "height"))):
        axis = 1 - place % 2  # sizes are (height, width)
        network, content, image = (getattr(placement, each)[axis] for each in ("network", "content", "image"))
        pixels = DecodeStep(f"× input {AXES[place % 2][2]}", f"{_n(box[place])} · {network}", box[place] * network)
        steps, margin = [pixels], (network - content) / 2 if place < 2 else 0.0
        if margin:
            steps.append(DecodeStep("− gray border", f"{_n(pixels.value)} − {_n(margin)}", pixels.value - margin))
        before = steps[-1].value
        steps.append(
            DecodeStep(
                f"× image {AXES[place % 2][2]} / placed {AXES[place % 2][2]}",
                f"{_n(before)} · {image} / {content}",
                before / content * image,
            )
        )
        quantities.append(Quantity(name, letter, steps[-1].value, tuple(steps)))
    return tuple(quantities)


def _cells(grid: HeadGrid) -> tuple[int, int]:
    """(in a row, in a column)."""
    return grid.width, grid.height


def _in_grid(cell: str, number: int, offset: float, cells: int, symbol: str = "offset") -> DecodeStep:
    return DecodeStep(
        f"({cell} + {symbol}) / {cell}s", f"({number} + {_n(offset)}) / {cells}", (number + offset) / cells
    )


def _logistic(symbol: str, value: float, already: bool) -> DecodeStep:
    """Return the step through the logistic function; already: the layer before has applied it (new_coords)."""
    if already:
        return DecodeStep(f"{symbol}, already σ in the layer before", _n(value), value)
    return DecodeStep(f"σ({symbol})", f"σ({_n(value)})", _sigmoid(value))


def _softmax_step(logits: list[float], label: int, name: str, of: str) -> DecodeStep:
    largest = max(logits)
    total = sum(math.exp(each - largest) for each in logits)
    value = math.exp(logits[label] - largest) / total
    return DecodeStep(
        f"e^t_{name} / Σ e^t, softmax of {of}",
        f"e^{_n(logits[label])} / {_n(total * _exp(largest))}",
        value,
    )


def _sigmoid(value: float) -> float:
    """σ(value), without overflow."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _exp(value: float) -> float:
    """e^value; infinite where float64 overflows, as torch computes it."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _n(value: float) -> str:
    """Format a number with four significant digits."""
    return f"{value:.4g}"
