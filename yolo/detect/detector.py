"""Detect objects in images: placement, network, decode, threshold and NMS, boxes in image pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from yolo.defaults import DEFAULT_ENGINE, DEFAULT_PRECISION, NMS_THRESH, SCORE_THRESH
from yolo.detect.inputs import ImageFile, ImageLike, image_pixels
from yolo.detect.postprocess import diou_exponent_of, on_cpu, postprocess
from yolo.engines.build import Engine, build_engine
from yolo.errors import counted
from yolo.letterbox import Placement, batch_of, letterboxed, place, stretched, to_image
from yolo.model.class_tree import best_class_one_hot
from yolo.model.heads.yolo import YoloHead
from yolo.model.network import Network
from yolo.records import Detections, Predictions

LIST_BATCH = 8  # images of a list that pass through the network together


class Detector:
    """`detector(image)` returns Detections in image pixels, highest score first.

    Args:
        network: With at least one head; it is put into evaluation mode.
        names: One per class.
        score_thresh: Scores must exceed this.
        nms_thresh: Two boxes of a class that overlap by more than this become one.
        letterbox: Keep the aspect of the image (pjreddie, AlexeyAB -letter_box) instead of stretching it (AlexeyAB).
        engine: What computes the network: one of yolo.defaults.ENGINES, or "auto" for the fastest one that is
            installed. It works on a copy of the weights as they are now; make a new Detector after they changed.
            Or a callable that computes what `network.decode` takes.
        precision: "float32", "bf16" or "fp16": the numbers in which the engine computes.

    Raises:
        ValueError: The network has no head, or more classes than there are names.
        CfgError: The engine is unknown, or it cannot compute in the precision or on the network's device.
        MissingPackageError: The engine's package is not installed.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        score_thresh: float = SCORE_THRESH,
        nms_thresh: float = NMS_THRESH,
        letterbox: bool = False,
        engine: str | Engine = DEFAULT_ENGINE,
        precision: str = DEFAULT_PRECISION,
    ) -> None:
        if not network.heads:
            raise ValueError("found a network without a detection head, expected at least one [yolo]")
        if len(names) < network.classes:
            expected = f"{network.classes}, one for each class"
            raise ValueError(f"found {counted(len(names), 'name')}, expected {expected}")
        self.network = network.eval()
        self.engine = build_engine(network, engine, precision) if isinstance(engine, str) else engine
        self.sparse_heads = _sparse_heads(network)
        self.names = tuple(names)
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.placement = letterboxed if letterbox else stretched
        self.tree = network.tree
        last = network.head_settings[-1]  # as Darknet (detector.c test_detector)
        self.diou_exponent = diou_exponent_of(last.nms_kind, last.beta_nms)

    def __call__(
        self, image: ImageLike | list[ImageLike] | Iterator[ImageLike], color: str = "rgb"
    ) -> Detections | list[Detections] | Iterator[Detections]:
        """Detect in an image, a list of images or an iterator of them, such as the frames of a video.

        Args:
            image: An array or tensor uint8 `[H, W, C]`, or `[H, W]` for one channel; a path; the bytes of an image
                file; the open file; an image of Pillow, turned by its EXIF orientation. A list, or an array
                `[B, H, W, C]`, goes through the network in batches, an iterator image by image, when its results are
                used.
            color: Order of the channels of arrays, "rgb" or "bgr".

        Returns:
            Detections of the image, xyxy in image pixels; a list of them for a list, an iterator for an iterator.
        """
        if isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
            image = list(image)
        if isinstance(image, list | tuple):
            return self._detect_list(image, color)
        if isinstance(image, Iterator) and not isinstance(image, ImageFile):  # a file is an iterator of lines
            return (self._detect_list([each], color)[0] for each in image)
        return self._detect_list([image], color)[0]

    def _detect_list(self, images: Sequence[ImageLike], color: str) -> list[Detections]:
        found = []
        for start in range(0, len(images), LIST_BATCH):
            pixels = (
                image_pixels(image, self.network.input.channels, color) for image in images[start : start + LIST_BATCH]
            )
            inputs, placements = zip(*map(self.prepare, pixels), strict=True)
            found += self.detect(batch_of(inputs), placements)
        return found

    def prepare(self, image: np.ndarray) -> tuple[Tensor, Placement]:
        """Return the network input of an image, float32 `[C, H, W]` in 0..1, and the placement of the image in it."""
        if image.ndim == 2:
            image = image[:, :, None]
        channels = self.network.input.channels
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels:
            found = f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"found an image {found}, expected uint8 [H, W, {channels}]")
        if 0 in image.shape:
            raise ValueError(f"found an empty image {list(image.shape)}")
        size = self.network.input.height, self.network.input.width
        placement = self.placement(image.shape[:2], size)
        return place(image, placement), placement

    @torch.inference_mode()
    def detect(self, images: Tensor, placements: Sequence[Placement]) -> list[Detections]:
        """Return the Detections of each of the prepared images `[B, C, H, W]`, on the CPU."""
        return self.detections(self.engine(images), placements)

    @torch.inference_mode()
    def detections(self, raw: list[Tensor], placements: Sequence[Placement]) -> list[Detections]:
        """Return the Detections of each image, on the CPU, from the raw maps of prepared images."""
        results = []
        for each, placement in zip(self._predictions(raw), placements, strict=True):
            found = postprocess(
                *each,
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                diou_exponent=self.diou_exponent,
            )
            results.append(replace(found, boxes=to_image(found.boxes, placement), names=self.names))
        return results

    def _predictions(self, raw: list[Tensor]) -> Iterator[Predictions]:
        """Yield the Predictions of each image on the CPU, with all that can have a score above the threshold."""
        heads = self.sparse_heads
        if heads and all(map_.device.type == "cpu" for map_ in raw):
            for maps in zip(*raw, strict=True):
                parts = [head.decode_likely(map_, self.score_thresh) for head, map_ in zip(heads, maps, strict=True)]
                yield Predictions(*map(torch.cat, zip(*parts, strict=True)))
            return
        predictions = self.network.decode(raw)
        if self.tree is not None:
            class_probs = best_class_one_hot(predictions.class_probs, self.tree)
            predictions = predictions._replace(class_probs=class_probs)
        yield from on_cpu(predictions, self.score_thresh)


def _sparse_heads(network: nn.Module) -> list[YoloHead]:
    """Return the heads that can decode only likely boxes; none if one head cannot, or for an exported file."""
    if not isinstance(network, Network):
        return []
    heads = [network.layers[index] for index in network.heads]
    return heads if all(isinstance(head, YoloHead) and not head.new_coords for head in heads) else []
