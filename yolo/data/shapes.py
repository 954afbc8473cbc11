"""Draw a small VOC data set: circles, squares and triangles on textured backgrounds."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolo.console.progress import progress
from yolo.errors import DatasetError
from yolo.files.image_file import encoded_image
from yolo.files.text import read_text
from yolo.files.writing import write_new, write_new_bytes, write_text
from yolo.records import Size

CLASSES = ("circle", "square", "triangle")
MAX_SHAPES = 4  # in an image
MIN_RADIUS = 11.0  # pixels, of the circle around a shape; no side of a box is below 14 pixels
MAX_RADIUS = 0.27  # of the image's shorter side
MIN_SIDE = 64  # pixels of an image; a few shapes do not fit into a smaller one
MAX_COVER = 0.35  # of the smaller of two boxes; their IoU is then below 0.22
PLACES = 30  # tries for one shape; after that it is left out
FINE = 4  # shapes are drawn larger by this factor and shrunk, for smooth edges
CORNERS = {"square": 4, "triangle": 3}
OUTLINE = 1.6  # pixels
NOISE = 5.0  # standard deviation in gray levels
JPEG_QUALITY = 92
PREFIX = "shape_"

XML_OBJECT = """\
\t<object>
\t\t<name>{0.name}</name>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{0.xmin}</xmin>
\t\t\t<ymin>{0.ymin}</ymin>
\t\t\t<xmax>{0.xmax}</xmax>
\t\t\t<ymax>{0.ymax}</ymax>
\t\t</bndbox>
\t</object>
"""

XML = """\
<annotation>
\t<folder>JPEGImages</folder>
\t<filename>{name}.jpg</filename>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
{objects}</annotation>
"""


@dataclass(frozen=True)
class DrawnShape:
    """A drawn shape; its corners are VOC's pixels: counted from 1, the last one inside the box."""

    name: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int


def write_shapes(out: Path, train: int, valid: int, seed: int, size: Size) -> None:
    """Write a VOC folder; the same seed and size give the same bytes.

    An image depends only on the seed and its number. The image sets are written last, so that an interrupted run
    leaves none that names missing images.

    Args:
        out: The folder, new or written by this function.
        train: Number of training images.
        valid: Number of validation images.
        seed: Of all random numbers.
        size: (height, width) of the images.

    Raises:
        DatasetError: A count is below 1, the size is too small, or the folder holds other images.
    """
    if min(train, valid) < 1:
        raise DatasetError(f"{train} and {valid} images, expected at least 1 of each")
    if min(size) < MIN_SIDE:
        raise DatasetError(f"images of {size[1]}x{size[0]}, expected {MIN_SIDE} pixels or more")
    for part, what in (("JPEGImages", "images"), ("Annotations", "annotations")):
        if any(not path.name.startswith(PREFIX) for path in (out / part).glob("*")):
            raise DatasetError(f"{out / part}: holds other {what}, expected a new folder")
    for path in sorted((out / "ImageSets" / "Main").glob("*.txt")):
        if any(not line.startswith(PREFIX) for line in read_text(path).splitlines()):
            raise DatasetError(f"{path}: holds other names, expected a new folder")
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (out / part).mkdir(parents=True, exist_ok=True)
    names = [f"{PREFIX}{number:05}" for number in range(1, train + valid + 1)]
    for number, name in enumerate(progress(names, "drawing"), 1):
        image, shapes = draw_image(np.random.default_rng((seed, number)), size)
        write_new_bytes(out / "JPEGImages" / f"{name}.jpg", encoded_image(image, ".jpg", JPEG_QUALITY))
        objects = "".join(XML_OBJECT.format(shape) for shape in shapes)
        xml = XML.format(name=name, height=size[0], width=size[1], objects=objects)
        write_new(out / "Annotations" / f"{name}.xml", xml)
    for image_set, members in (("train", names[:train]), ("val", names[train:])):
        text = "".join(f"{name}\n" for name in members)
        write_text(out / "ImageSets" / "Main" / f"{image_set}.txt", text)


def draw_image(rng: np.random.Generator, size: Size) -> tuple[np.ndarray, tuple[DrawnShape, ...]]:
    """Draw an image `[H, W, 3]` (RGB, uint8) of `size` (height, width) with 1 to 4 shapes."""
    canvas = _background(rng, size)
    shapes: list[DrawnShape] = []
    for _ in range(rng.integers(1, MAX_SHAPES + 1)):
        for _ in range(PLACES):
            name, center, radius, angle = _draw_shape(rng, size)
            alpha = _mask(name, center, radius, angle, size)
            shape = _tight(name, alpha)
            if all(_cover(shape, other) <= MAX_COVER for other in shapes):
                inner = _mask(name, center, radius - OUTLINE, angle, size)
                canvas = _paint(rng, canvas, alpha, inner)
                shapes.append(shape)
                break
    canvas += rng.normal(0, NOISE, canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8), tuple(shapes)


def _draw_shape(rng: np.random.Generator, size: Size) -> tuple[str, tuple[float, float], float, float]:
    """Draw the class, center (x, y), radius and angle of a shape inside the image; in pixels and radians."""
    height, width = size
    name = CLASSES[rng.integers(len(CLASSES))]
    radius = rng.uniform(MIN_RADIUS, MAX_RADIUS * min(size))
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    return name, (x, y), radius, rng.uniform(0, 2 * np.pi)


def _mask(name: str, center: tuple[float, float], radius: float, angle: float, size: Size) -> np.ndarray:
    """Return how much of each pixel the shape covers, float32 `[H, W]` in 0..1."""
    height, width = size
    fine = np.zeros((height * FINE, width * FINE), np.uint8)
    middle = np.array(center) * FINE
    if name in CORNERS:
        turns = angle + 2 * np.pi * np.arange(CORNERS[name]) / CORNERS[name]
        points = middle + radius * FINE * np.stack((np.cos(turns), np.sin(turns)), axis=1)
        cv2.fillPoly(fine, [np.rint(points).astype(np.int32)], 255)
    else:
        x, y = np.rint(middle).astype(int).tolist()
        cv2.circle(fine, (x, y), round(radius * FINE), 255, cv2.FILLED)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _tight(name: str, alpha: np.ndarray) -> DrawnShape:
    """Return the box around all pixels that the shape covers by half or more."""
    rows, columns = np.nonzero(alpha >= 0.5)
    xmin, ymin, xmax, ymax = columns.min(), rows.min(), columns.max(), rows.max()
    return DrawnShape(name, int(xmin) + 1, int(ymin) + 1, int(xmax) + 1, int(ymax) + 1)


def _cover(one: DrawnShape, other: DrawnShape) -> float:
    """Return the intersection of two boxes as a fraction of the smaller box."""
    wide = min(one.xmax, other.xmax) - max(one.xmin, other.xmin) + 1
    high = min(one.ymax, other.ymax) - max(one.ymin, other.ymin) + 1
    return max(wide, 0) * max(high, 0) / min(_area(one), _area(other))


def _area(shape: DrawnShape) -> int:
    return (shape.xmax - shape.xmin + 1) * (shape.ymax - shape.ymin + 1)


def _paint(rng: np.random.Generator, canvas: np.ndarray, alpha: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the canvas with one shape: a strong color, lighter on one side, with a dark outline."""
    height, width = alpha.shape
    color = _color(rng, saturation=(140, 255), value=(150, 255))
    light = _ramp(rng, (height, width))[:, :, None] * 0.5 + 0.75  # 0.75 .. 1.25 over the image
    canvas = canvas + (color * 0.35 - canvas) * alpha[:, :, None]
    return canvas + (color * light - canvas) * inner[:, :, None]


def _background(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Draw a background `[H, W, 3]` of two pale colors: gradient, stripes, checkerboard or clouds."""
    height, width = size
    one = _color(rng, saturation=(0, 90), value=(40, 230))
    other = np.clip(one + rng.uniform(-60, 60, 3), 0, 255)
    kind, period = rng.integers(4), rng.uniform(8, 30)
    along = _ramp(rng, size) * max(size) / period
    across = _ramp(rng, size) * max(size) / period
    if kind == 0:
        mix = _ramp(rng, size)
    elif kind == 1:
        mix = np.sin(along * 2 * np.pi) * 0.5 + 0.5
    elif kind == 2:
        mix = (np.floor(along) + np.floor(across)) % 2
    else:
        small = rng.uniform(0, 1, (height // 12 + 2, width // 12 + 2))
        mix = np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    return one + (other - one) * mix[:, :, None]


def _ramp(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Return a linear ramp `[H, W]` of a random direction, from 0 to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: size[0], : size[1]]
    slope = columns * np.cos(angle) + rows * np.sin(angle)
    return (slope - slope.min()) / (slope.max() - slope.min())


def _color(rng: np.random.Generator, saturation: tuple[int, int], value: tuple[int, int]) -> np.ndarray:
    """Draw a color `[3]` (RGB, 0..255) of any hue."""
    hue = rng.integers(180)  # OpenCV's hues are half degrees
    pixel = np.array([[[hue, rng.integers(*saturation), rng.integers(*value)]]], np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)
