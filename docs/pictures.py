"""Draw the images of docs/yolov3.md into docs/yolov3/, from the shipped network for drawn shapes.

The image is data/shapes.png. The batch of the loss and the curve of mAP are images that `make_shapes` draws.

example:
  python docs/pictures.py
"""

from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

import yolo
from yolo.boxes import cxcywh_to_xyxy
from yolo.cfg import read_cfg
from yolo.data.shapes import CLASSES, draw_image
from yolo.evaluate.metrics.voc import VOC07_RECALLS, best_from, voc_scores
from yolo.model.heads.yolo import YoloHead
from yolo.records import Evaluation, GroundTruth, ScoredBoxes
from yolo.train.losses.assign import DIALECTS, Assignment, assign

PROJECT = Path(__file__).resolve().parent.parent
OUT = PROJECT / "docs" / "yolov3"
COLORS = 255  # of an image's palette
DPI = 110
CLASS_COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c")
# (class, xyxy) of the shapes of data/shapes.png, in its pixels, read off the image
GROUND_TRUTH = (
    (1, 26, 14, 148, 136),
    (0, 166, 57, 287, 179),
    (1, 425, 26, 598, 198),
    (2, 11, 184, 148, 334),
    (0, 240, 190, 411, 360),
    (2, 386, 373, 479, 466),
)
SCORE_THRESH = 0.25
BATCH, SCORED = 16, 60  # images of the loss and of the curve
SEEDS = {"batch": 2, "curve": 3}  # the shipped weights were not trained on them
PARTS = ("box", "objectness, responsible", "objectness, background", "classes")


def main() -> None:
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9, "figure.autolayout": True})
    OUT.mkdir(exist_ok=True)
    network = yolo.Network.from_cfg(PROJECT / "cfg/shapes-small.cfg").eval()
    yolo.load_weights(network, PROJECT / "weights/shapes-small.weights")
    image = cv2.imread(str(PROJECT / "data/shapes.png"))[:, :, ::-1].copy()
    detector = yolo.Detector(network, CLASSES, score_thresh=SCORE_THRESH)
    prepared, _ = detector.prepare(image)
    with torch.no_grad():
        raw = network(prepared[None])
    draw_grids(network, image)
    draw_maps(network, image, raw)
    draw_decoding(network, image, raw[0])
    draw_nms(network, detector, image, raw)
    draw_assignment(network, image, raw)
    draw_scales()
    draw_loss(network)
    draw_curve(network)


# ---------------------------------------------------------------------------------------- what the network predicts


def draw_grids(network: yolo.Network, image: np.ndarray) -> None:
    """grids.png: both heads' cells and anchors."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    for ax, head in zip(axes, heads_of(network), strict=True):
        show(ax, network, image, head)
        stride = head.stride[0]
        middle = np.array([[80, 64]]) // stride * stride + stride / 2
        for anchor, color in zip(head.anchors.numpy(), CLASS_COLORS, strict=True):
            ax.add_patch(Rectangle(*corner_and_size(middle[0], anchor), fill=False, color=color, linewidth=2))
        ax.add_patch(Rectangle(middle[0] - stride / 2, stride, stride, color="yellow", alpha=0.8))
        anchors = ", ".join(f"{w:g}x{h:g}" for w, h in head.anchors.tolist())
        ax.set_title(f"stride {stride:g}: {grid_text(network, head)} cells; anchors {anchors}")
    save(figure, "grids")


def draw_maps(network: yolo.Network, image: np.ndarray, raw: list[Tensor]) -> None:
    """maps.png: per head the highest objectness of each cell, and the likeliest class in its color."""
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.8))
    for row, head, map_ in zip(axes, heads_of(network), raw, strict=True):
        values = head.split(map_)[0]  # [A, H, W, 5 + classes]
        objectness, anchor = torch.sigmoid(values[..., 4]).max(dim=0)
        probabilities = torch.sigmoid(values[..., 5:])
        chosen = torch.gather(probabilities, 0, anchor[None, :, :, None].expand(-1, -1, -1, len(CLASSES)))[0]
        colors = np.array([matplotlib.colors.to_rgb(color) for color in CLASS_COLORS])
        show(row[0], network, image, head, grid=False)
        shown = row[0].imshow(objectness.numpy(), extent=extent(network), alpha=0.8, vmin=0, vmax=1)
        figure.colorbar(shown, ax=row[0], fraction=0.04)
        row[0].set_title(f"objectness, stride {head.stride[0]:g}")
        show(row[1], network, image, head, grid=False)
        row[1].imshow(colors[chosen.argmax(dim=-1).numpy()], extent=extent(network), alpha=0.65)
        row[1].set_title(f"likeliest class, stride {head.stride[0]:g}")
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in CLASS_COLORS]
    axes[1, 1].legend(handles, CLASSES, loc="lower right", fontsize=7)
    save(figure, "maps")


def draw_decoding(network: yolo.Network, image: np.ndarray, raw: Tensor) -> None:
    """decode.png: the cell with the highest objectness in the first head, its anchor, and its decoded box."""
    head = heads_of(network)[0]
    values = head.split(raw)[0]
    place = int(values[..., 4].argmax())
    anchor, row, column = np.unravel_index(place, values.shape[:3])
    box = head.decode(raw).boxes[0, place].numpy() * np.tile(input_size(network), 2)
    stride, own = head.stride[0], head.anchors[int(anchor)].numpy()
    cell = np.array([column, row]) * stride
    figure, ax = plt.subplots(figsize=(5.4, 4.4))
    show(ax, network, image, head)
    ax.add_patch(Rectangle(cell, stride, stride, color="yellow", alpha=0.7, label=f"cell: row {row}, column {column}"))
    label = f"anchor {own[0]:g}x{own[1]:g}"
    ax.add_patch(Rectangle(*corner_and_size(cell + stride / 2, own), fill=False, linestyle="--", label=label))
    label = f"box {box[2]:.1f}x{box[3]:.1f}"
    ax.add_patch(Rectangle(*corner_and_size(box[:2], box[2:]), fill=False, color="red", linewidth=2, label=label))
    ax.plot(*box[:2], "r.", markersize=9)
    ax.legend(loc="lower right", fontsize=8)
    t = values[anchor, row, column].tolist()
    ax.set_title("t = " + "  ".join(f"{value:.2f}" for value in t))
    save(figure, "decode")


def draw_nms(network: yolo.Network, detector: yolo.Detector, image: np.ndarray, raw: list[Tensor]) -> None:
    """nms.png: the boxes above the threshold, and those that NMS keeps."""
    predictions = network.decode(raw)
    scores = predictions.objectness[0, :, None] * predictions.class_probs[0]
    rows, labels = torch.nonzero(scores > SCORE_THRESH, as_tuple=True)
    before = cxcywh_to_xyxy(predictions.boxes[0, rows]) * torch.tensor([image.shape[1], image.shape[0]] * 2)
    after = detector(image)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    parts = ((before, labels, None), (after.boxes, after.labels, after.scores))
    for ax, (boxes, classes, shown), title in zip(axes, parts, ("before NMS", "after NMS"), strict=True):
        ax.imshow(image)
        ax.axis("off")
        ax.set_title(f"{title}: {len(boxes)} boxes")
        for number, (box, label) in enumerate(zip(boxes.numpy(), classes.tolist(), strict=True)):
            size = box[2:] - box[:2]
            ax.add_patch(Rectangle(box[:2], *size, fill=False, color=CLASS_COLORS[label], linewidth=1.8))
            if shown is not None:
                text = f"{CLASSES[label]} {shown[number]:.2f}"
                style = {"facecolor": CLASS_COLORS[label], "edgecolor": "none", "pad": 1.5}
                x, y = box[0] + 4, max(box[1], 0) + 16  # inside the box and the image
                ax.text(x, y, text, fontsize=7, color="white", bbox=style)
    save(figure, "nms")


def draw_scales() -> None:
    """scales.png: the three grids and the nine anchors of yolov3.cfg at 416 pixels."""
    sections = read_cfg(PROJECT / "cfg/yolov3.cfg")
    head = next(section for section in sections if section.kind == "yolo")
    anchors = np.array(head.numbers("anchors", ())).reshape(-1, 2)
    side = sections[0].integer("width", 0)  # and the height
    image, _ = draw_image(np.random.default_rng((4, 33)), (side, side))
    image = cv2.bilateralFilter(image, 9, 40, 9)  # without the noise, which takes most of the bytes
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
    for ax, stride, mask in zip(axes, (32, 16, 8), ((6, 7, 8), (3, 4, 5), (0, 1, 2)), strict=True):
        ax.imshow(image, extent=(0, side, side, 0))
        ax.set(xticks=range(0, side + 1, stride), yticks=range(0, side + 1, stride), xticklabels=[], yticklabels=[])
        ax.tick_params(length=0)
        ax.grid(color="white", linewidth=0.5)
        middle = np.full(2, side // 2 // stride * stride + stride / 2)
        for anchor, color in zip(anchors[list(mask)], ("black", "red", "blue"), strict=True):
            ax.add_patch(Rectangle(*corner_and_size(middle, anchor), fill=False, color=color, linewidth=2))
        ax.set_title(f"{side // stride}x{side // stride} cells, stride {stride}")
    save(figure, "scales")


# ------------------------------------------------------------------------------------------------- its targets


def draw_assignment(network: yolo.Network, image: np.ndarray, raw: list[Tensor]) -> None:
    """assignment.png: per head the boxes it is responsible for, their cells, and the ignored cells."""
    targets = targets_of([(GROUND_TRUTH, image.shape[:2])])
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
    for ax, number in zip(axes, range(2), strict=True):
        head, assigned = heads_of(network)[number], assignments(network, raw, targets)[number]
        rows, columns = raw[number].shape[2:]
        stride = head.stride[0]
        show(ax, network, image, head)
        ignored = torch.nonzero(assigned.ignored.reshape(3, rows, columns).any(dim=0)).tolist()
        for row, column in ignored:
            where = (column * stride, row * stride)
            ax.add_patch(Rectangle(where, stride, stride, fill=False, hatch="////", color="white", linewidth=0))
        pairs = zip(assigned.cell_index.tolist(), assigned.target_index, assigned.anchor_index, strict=True)
        for cell, target, anchor in pairs:
            box = targets.boxes[target].numpy() * np.tile(input_size(network), 2)
            where = np.array([cell % columns, cell // columns % rows]) * stride
            ax.add_patch(Rectangle(where, stride, stride, color="yellow", alpha=0.85))
            ax.add_patch(Rectangle(*corner_and_size(box[:2], box[2:]), fill=False, color="red", linewidth=2))
            own = head.all_anchors[anchor].numpy()
            ax.add_patch(Rectangle(*corner_and_size(box[:2], own), fill=False, linestyle="--", linewidth=1.3))
        ax.set_title(
            f"stride {stride:g}: {len(assigned.cell_index)} responsible, {int(assigned.ignored.sum())} ignored"
        )
    save(figure, "assignment")


def draw_loss(network: yolo.Network) -> None:
    """loss.png: the parts of the loss of a batch, with random weights and with the shipped ones; prints them."""
    drawn = drawn_images(SEEDS["batch"], BATCH)
    images = torch.tensor(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).float() / 255
    targets = targets_of([(shapes, image.shape[:2]) for image, shapes in drawn])
    torch.manual_seed(0)
    fresh = yolo.Network.from_cfg(PROJECT / "cfg/shapes-small.cfg").eval()
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.2), sharey=True)
    for ax, (name, each) in zip(axes, (("random weights", fresh), ("trained", network)), strict=True):
        with torch.no_grad():
            values = loss_parts(each, each(images), targets)
        print(name, {part: round(value, 3) for part, value in zip(PARTS, values, strict=True)})
        bars = ax.barh(PARTS[::-1], values[::-1], color="#1f77b4")
        ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        ax.set(title=f"{name}: loss of an image", xlim=(0, max(values) * 1.2))
    save(figure, "loss")


def loss_parts(network: yolo.Network, raw: list[Tensor], targets: yolo.Targets) -> list[float]:
    """Return the loss of an image in PARTS."""
    losses = yolo.DetectionLoss(network)(raw, targets)
    responsible = float(losses.objectness_object)
    return [float(losses.box), responsible, float(losses.objectness) - responsible, float(losses.classification)]


def draw_curve(network: yolo.Network) -> None:
    """curve.png: precision over recall of one class, the area and the 11 points."""
    drawn = drawn_images(SEEDS["curve"], SCORED)
    found = yolo.Detector(network, CLASSES, score_thresh=0.005)([image for image, _ in drawn])
    counts, many = [len(each) for each in found], [len(shapes) for _, shapes in drawn]
    shapes = [shape for _, each in drawn for shape in each]
    evaluation = Evaluation(
        names=CLASSES,
        image_ids=tuple(str(number) for number in range(SCORED)),
        sizes=np.array([image.shape[:2] for image, _ in drawn]),
        ground_truth=GroundTruth(
            np.repeat(np.arange(SCORED), many),
            np.array([label for label, *_ in shapes]),
            np.array([box for _, *box in shapes], float) - [0, 0, 1, 1],
            np.zeros(len(shapes), bool),
        ),
        detections=ScoredBoxes(
            np.repeat(np.arange(SCORED), counts),
            *(
                np.concatenate([getattr(each, name).numpy() for each in found])
                for name in ("labels", "scores", "boxes")
            ),
        ),
    )
    scores = voc_scores(evaluation)
    label = int(np.argmin([score.area_ap for score in scores]))
    score = scores[label]
    print(
        "mAP", {name: round(float(np.mean([getattr(s, name) for s in scores])), 3) for name in ("voc07_ap", "area_ap")}
    )
    envelope = np.maximum.accumulate(score.precision[::-1])[::-1]
    points = best_from(score.recall, score.precision, VOC07_RECALLS)
    figure, ax = plt.subplots(figsize=(5.6, 3))
    edge = np.append(0, score.recall), np.append(envelope[0], envelope)
    ax.fill_between(*edge, step="pre", alpha=0.25, label=f"area: AP {score.area_ap:.3f}")
    ax.plot(score.recall, score.precision, linewidth=1.2, label="precision after each detection")
    ax.plot(VOC07_RECALLS, points, "ko", markersize=4, label=f"11 points: AP {score.voc07_ap:.3f}")
    ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.05), title=f"class {CLASSES[label]}, {SCORED} images")
    ax.legend(loc="lower left", fontsize=8)
    save(figure, "curve")


def assignments(network: yolo.Network, raw: list[Tensor], targets: yolo.Targets) -> list[Assignment]:
    """Return the assignment of the targets to each head, as the loss computes it."""
    rows = zip(heads_of(network), network.head_settings, raw, strict=True)
    found = [(head, settings, head.decode(map_), tuple(map_.shape[2:])) for head, settings, map_ in rows]
    return [
        assign(head, settings, DIALECTS["alexeyab"], decoded.boxes, decoded.class_probs, targets, grid)
        for head, settings, decoded, grid in found
    ]


def targets_of(images: list[tuple]) -> yolo.Targets:
    """Return the targets of images, each ((label, xyxy), ...) in pixels and (height, width)."""
    rows = [
        (number, label, (x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
        for number, (shapes, (h, w)) in enumerate(images)
        for label, x1, y1, x2, y2 in shapes
    ]
    table = torch.tensor(rows)
    return yolo.Targets(table[:, 0].long(), table[:, 1].long(), table[:, 2:].float())


def drawn_images(seed: int, count: int) -> list[tuple[np.ndarray, tuple]]:
    """Draw images, each with its ((label, xyxy), ...) in continuous pixels."""
    drawn = [draw_image(np.random.default_rng((seed, number)), (128, 160)) for number in range(count)]
    return [
        (image, tuple((CLASSES.index(s.name), s.xmin - 1, s.ymin - 1, s.xmax, s.ymax) for s in shapes))
        for image, shapes in drawn
    ]


# ------------------------------------------------------------------------------------------------------------ drawing


def heads_of(network: yolo.Network) -> list[YoloHead]:
    return [network.layers[index] for index in network.heads]


def input_size(network: yolo.Network) -> tuple[int, int]:
    """(width, height)"""
    return network.input.width, network.input.height


def extent(network: yolo.Network) -> tuple[int, int, int, int]:
    return 0, network.input.width, network.input.height, 0


def grid_text(network: yolo.Network, head: YoloHead) -> str:
    return f"{network.input.width / head.stride[1]:g}x{network.input.height / head.stride[0]:g}"


def show(ax: Axes, network: yolo.Network, image: np.ndarray, head: YoloHead, grid: bool = True) -> None:
    """Show the image in pixels of the network input, with the cells of a head."""
    ax.imshow(image, extent=extent(network), aspect=network.input.width * 480 / 640 / network.input.height)
    down, across = (int(side) for side in head.stride)
    ax.set_xticks(range(0, network.input.width + 1, across), [])
    ax.set_yticks(range(0, network.input.height + 1, down), [])
    ax.tick_params(length=0)
    if grid:
        ax.grid(color="white", linewidth=0.6)


def corner_and_size(center: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return what a Rectangle takes."""
    return center - size / 2, float(size[0]), float(size[1])


def save(figure: plt.Figure, name: str) -> None:
    content = BytesIO()
    figure.savefig(content, dpi=DPI)
    plt.close(figure)
    with Image.open(content) as image:
        image.convert("RGB").quantize(COLORS).save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
