"""An image in, detections out: place it, run the network, decode, threshold, suppress, back to image pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from yolo.defaults import NMS_THRESH, SCORE_THRESH
from yolo.detect.postprocess import diou_exponent_of, postprocess
from yolo.letterbox import Placement, letterboxed, place, stretched, to_image
from yolo.model.class_tree import best_class_one_hot
from yolo.model.network import Network
from yolo.records import Detections


class Detector:
    """`detector(image)` → Detections in image pixels, best first.

    network: with at least one head; it is put into evaluation mode. names: one a class. letterbox: keep the
    image's aspect (pjreddie, AlexeyAB -letter_box) instead of stretching it (AlexeyAB's default).
    Raises ValueError when there are fewer names than classes.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        score_thresh: float = SCORE_THRESH,
        nms_thresh: float = NMS_THRESH,
        letterbox: bool = False,
    ) -> None:
        if not network.heads:
            raise ValueError(
                "found a network without a detection head, expected at least one [yolo]"
            )
        if len(names) < network.classes:
            expected = f"{network.classes}, one for each class"
            raise ValueError(f"found {len(names)} names, expected {expected}")
        self.network = network.eval()
        self.names = tuple(names)
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.placement = letterboxed if letterbox else stretched
        self.tree = network.tree
        last = network.head_settings[-1]  # Darknet asks the last layer (detector.c test_detector)
        self.diou_exponent = diou_exponent_of(last.nms_kind, last.beta_nms)

    def __call__(self, image: np.ndarray) -> Detections:
        """uint8 `[H, W, C]`, RGB (`[H, W]` is ordinary for a one-channel network) → Detections, xyxy image pixels."""
        prepared, placement = self.prepare(image)
        return self.detect(prepared[None], [placement])[0]

    def prepare(self, image: np.ndarray) -> tuple[Tensor, Placement]:
        """What the network sees of an image, float32 `[C, H, W]`, and where the image lies in it."""
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
        """Prepared images `[B, C, H, W]` with their placements → Detections of each, on the CPU."""
        device = next(self.network.parameters()).device
        predictions = self.network.decode(self.network(images.to(device)))
        if self.tree is not None:
            class_probs = best_class_one_hot(predictions.class_probs, self.tree)
            predictions = predictions._replace(class_probs=class_probs)
        boxes, objectness, class_probs = (part.cpu() for part in predictions)
        results = []
        for index, placement in enumerate(placements):
            found = postprocess(
                boxes[index],
                objectness[index],
                class_probs[index],
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                diou_exponent=self.diou_exponent,
            )
            results.append(replace(found, boxes=to_image(found.boxes, placement)))
        return results
