"""Classify images: center crop or letterbox, network, sort by probability."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolo.defaults import TOP_CLASSES
from yolo.errors import CfgError, DatasetError, counted
from yolo.letterbox import Placement, letterboxed, place, resized_pixels
from yolo.model.network import Network

MOST_ELONGATED = 256  # our limit, as the whole image is resized before it is cropped


@dataclass(frozen=True)
class Ranking:
    """The K most likely classes of an image, best first. labels: int64 `[K]`; probabilities: float32 `[K]`."""

    labels: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Classifier:
    """`classifier(image)` returns the Ranking of the `top` most likely classes.

    With a class hierarchy, pjreddie's Darknet gives a probability only to leaves, AlexeyAB's to every class
    (classifier.c predict_classifier); the dialect of the network decides.

    Args:
        network: Without a detection head; it is put into evaluation mode.
        names: One per class.
        top: Length of the ranking, if there are that many classes.
        letterbox: Use the whole image (pjreddie's `classifier predict`) instead of its center (AlexeyAB's).

    Raises:
        ValueError: The network has a head, or the numbers of names and classes differ.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        top: int = TOP_CLASSES,
        letterbox: bool = False,
    ) -> None:
        if network.heads:
            raise ValueError("found a network with a detection head, expected a classifier")
        if len(names) != network.classes:
            expected = f"{network.classes}, one for each class"
            raise ValueError(f"found {counted(len(names), 'name')}, expected {expected}")
        self.network = network.eval()
        self.names = tuple(names)
        self.top = top
        self.letterbox = letterbox
        self.tree = network.tree

    def __call__(self, image: np.ndarray) -> Ranking:
        """Classify an image uint8 `[H, W, C]`, RGB. The Ranking is on the CPU. Raises what `prepare` does."""
        return self.rank(self.prepare(image)[None])[0]

    def prepare(self, image: np.ndarray) -> Tensor:
        """Return the network input of an image: float32 `[C, H, W]` in 0..1.

        Raises:
            DatasetError: The image is too elongated to be cropped.
            ValueError: The array is no image for this network.
        """
        channels = self.network.input.channels
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == channels
        if not fits or image.size == 0:
            found = f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"found an image {found}, expected uint8 [H, W, {channels}]")
        size = self.network.input.height, self.network.input.width
        if self.letterbox:
            return place(image, letterboxed(image.shape[:2], size))
        return center_crop(image, center_placement(image.shape[:2], size))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities of prepared images `[B, C, H, W]`: float32 `[B, classes]`, on the CPU."""
        device = next((each.device for each in self.network.parameters()), images.device)
        return class_probabilities(self.network, self.network(images.to(device))).float().cpu()

    def rank(self, images: Tensor) -> list[Ranking]:
        """Rank the classes of prepared images `[B, C, H, W]`; of equal ones the first class is best (utils.c top_k)."""
        values, labels = torch.sort(self.probabilities(images), dim=1, descending=True, stable=True)
        best = zip(labels[:, : self.top], values[:, : self.top], strict=True)
        return [Ranking(*each) for each in best]


def class_probabilities(network: Network, raw: list[Tensor]) -> Tensor:
    """Return the probabilities `[B, classes]` that are ranked, from the output of `network(images)`.

    pjreddie's Darknet ranks only the leaves of a class hierarchy; the others get 0.
    """
    probabilities = network.classify(raw)
    if network.tree is not None and network.dialect == "pjreddie":
        probabilities = probabilities * network.tree.leaf.to(probabilities.device)
    return probabilities


def check_classifies(network: Network, cfg: Path) -> None:
    """Raise CfgError unless a network without a head ends in one number for each class. cfg: its file."""
    channels, height, width = network.shapes[-1]
    if (height, width) != (1, 1):
        found = f"an output of {channels}x{height}x{width}"
        raise CfgError(f"{cfg}: found {found}, expected a classifier's, of one pixel")


def center_placement(image: tuple[int, int], network: tuple[int, int]) -> Placement:
    """Place the center of the image on the input, its smaller side as long as the *width* of the input.

    Source: AlexeyAB classifier.c predict_classifier; image.c resize_min. Both sizes are (height, width).
    Raises DatasetError if one side of the image is more than 256 times the other.
    """
    height, width = image
    smaller = min(image)
    if max(image) > MOST_ELONGATED * smaller:
        raise DatasetError(
            f"found an image of {width}x{height} pixels, expected one side at most {MOST_ELONGATED} times the other"
        )
    content = height * network[1] // smaller, width * network[1] // smaller
    # int() rounds towards 0 as C's division does; // does not.
    offset = int((network[0] - content[0]) / 2), int((network[1] - content[1]) / 2)
    return Placement(image, network, content, offset)


def center_crop(image: np.ndarray, placement: Placement) -> Tensor:
    """Resize a uint8 image `[H, W, C]` and crop it to the input, float32 `[C, H', W']`; edges are repeated outside.

    Source: image.c crop_image.
    """
    content = resized_pixels(image, placement.content)
    rows, columns = (
        (torch.arange(length) - start).clamp(0, size - 1)
        for length, start, size in zip(placement.network, placement.offset, placement.content, strict=True)
    )
    return content[:, rows[:, None], columns]


def rankings_json(file_names: Sequence[str], rankings: Sequence[Ranking], names: Sequence[str]) -> str:
    """Return a JSON list of images with their classes, best first, with the keys of Darknet's JSON of detections."""
    images = [
        {
            "filename": file_name,
            "classes": [
                {"class_id": label, "name": names[label], "confidence": round(probability, 6)}
                for label, probability in zip(found.labels.tolist(), found.probabilities.tolist(), strict=True)
            ],
        }
        for file_name, found in zip(file_names, rankings, strict=True)
    ]
    return json.dumps(images, indent=1) + "\n"
