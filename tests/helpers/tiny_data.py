"""A tiny network and tiny drawn data sets, for tests that need something to train, score or detect."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from yolo.cfg import parse_cfg
from yolo.model.network import Network, build

NAMES = ("red", "green")
COLORS = np.array([(220, 30, 30), (30, 200, 40)], np.uint8)  # of class 0 and 1
GROUND = 90  # gray that no box has
SIZE = (48, 64)  # (height, width) of images and network

NET = """[net]
batch=4
subdivisions=1
width=64
height=48
channels={channels}
learning_rate=0.01
burn_in=2
max_batches=6
policy=steps
steps=4
scales=.1
hue=.1
saturation=1.5
exposure=1.5
"""
BODY = """
[convolutional]
batch_normalize={norm}
filters=6
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize={norm}
filters=12
size=3
stride=2
pad=1
activation=leaky
{dropout}
[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=12,12, 24,20
classes=2
num=2
jitter=.2
random=0
"""
DROPOUT = "\n[dropout]\nprobability=.3\n"


@dataclass(frozen=True)
class DrawnSet:
    """A data set of drawn boxes on disk. boxes: xyxy pixels and class of each image, in list order."""

    folder: Path
    data: Path
    images: tuple[Path, ...]
    boxes: tuple[tuple[tuple[int, int, int, int, int], ...], ...]


def cfg_text(channels: int = 3, norm: bool = True, dropout: bool = True) -> str:
    """A network of stride 8, 64 x 48 pixels, two classes, two anchors."""
    body = BODY.format(norm=int(norm), dropout=DROPOUT if dropout else "")
    return NET.format(channels=channels) + body


def with_classes(text, classes):
    """The cfg of the same network with other classes: filters are anchors x (5 + classes)."""
    sections = parse_cfg(text, "x")
    heads = [number for number, section in enumerate(sections) if section.kind == "yolo"]
    old = 5 + int(sections[heads[0]].text("classes"))
    masks = len(sections[heads[0]].text("mask").split(","))
    text = text.replace(f"filters={masks * old}", f"filters={masks * (5 + classes)}")
    return text.replace(f"classes={old - 5}", f"classes={classes}")


def network_of(text: str, seed: int = 0) -> Network:
    """The network of a cfg's text."""
    torch.manual_seed(seed)
    return build(parse_cfg(text, "tiny.cfg"))[0]


def draw(boxes, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 RGB: filled boxes (x1, y1, x2, y2, class) on gray; x2 and y2 are not inside."""
    image = np.full((*size, 3), GROUND, np.uint8)
    for x1, y1, x2, y2, label in boxes:
        image[y1:y2, x1:x2] = COLORS[label]
    return image


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write an RGB image in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    path.write_bytes(content.tobytes())
    return path


def label_lines(boxes, size: tuple[int, int] = SIZE) -> str:
    """`class cx cy w h` lines of xyxy pixel boxes."""
    height, width = size
    return "".join(
        f"{label} {(x1 + x2) / 2 / width!r} {(y1 + y2) / 2 / height!r} {(x2 - x1) / width!r} {(y2 - y1) / height!r}\n"
        for x1, y1, x2, y2, label in boxes
    )


def write_set(folder: Path, boxes, names=NAMES, ending: str = ".png") -> DrawnSet:
    """Images, labels, one list for train and valid, names and voc.data in `folder`; `boxes`: a list an image."""
    (folder / "labels").mkdir(parents=True)
    images = []
    for index, each in enumerate(boxes):
        images.append(write_image(folder / "images" / f"p{index}{ending}", draw(each)))
        (folder / "labels" / f"p{index}.txt").write_text(label_lines(each))
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in images))
    (folder / "tiny.names").write_text("".join(f"{name}\n" for name in names))
    data = folder / "tiny.data"
    data.write_text(
        f"classes = {len(names)}\ntrain = {folder}/list.txt\nvalid = {folder}/list.txt\n"
        f"names = {folder}/tiny.names\nbackup = {folder}/backup\n"
    )
    return DrawnSet(folder, data, tuple(images), tuple(tuple(each) for each in boxes))


FOUR_IMAGES = (
    [(8, 8, 24, 24, 0)],
    [(30, 10, 54, 30, 1), (4, 30, 18, 44, 0)],
    [(40, 24, 60, 44, 1)],
    [(6, 4, 20, 20, 1), (36, 22, 60, 42, 0)],
)
