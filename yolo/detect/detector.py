"""A picture in, detections out: place it, run the network, decode, threshold, suppress, back to picture pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from yolo import letterbox as geometry
from yolo.detect.postprocess import detect, suppression
from yolo.letterbox import Placement
from yolo.model.class_tree import named_class
from yolo.model.network import Network
from yolo.records import Detections

SCORE_THRESH = 0.25  # darknet detector test -thresh

NMS_THRESH = 0.45  # darknet detector test: float nms = .45


class Detector:
    """`detector(picture)` → Detections in picture pixels, best first.

    network: with at least one head; it is put into evaluation mode. names: one a class. letterbox: keep the
    picture's aspect (pjreddie, AlexeyAB -letter_box) instead of stretching it (AlexeyAB's default).
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
        self.placement = geometry.letterboxed if letterbox else geometry.stretched
        self.tree = network.tree
        last = network.head_settings[-1]  # Darknet asks the last layer (detector.c test_detector)
        self.suppress = suppression(last.nms_kind, last.beta_nms)

    def __call__(self, picture: np.ndarray) -> Detections:
        """uint8 `[H, W, C]`, RGB (`[H, W]` is ordinary for a one-channel network) → Detections, xyxy picture pixels."""
        prepared, placement = self.prepare(picture)
        return self.detect(prepared[None], [placement])[0]

    def prepare(self, picture: np.ndarray) -> tuple[Tensor, Placement]:
        """What the network sees of a picture, float32 `[C, H, W]`, and where the picture lies in it."""
        if picture.ndim == 2:
            picture = picture[:, :, None]
        channels = self.network.input.channels
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != channels:
            found = f"{picture.dtype} {list(picture.shape)}"
            raise ValueError(f"found a picture {found}, expected uint8 [H, W, {channels}]")
        if 0 in picture.shape:
            raise ValueError(f"found an empty picture {list(picture.shape)}")
        size = self.network.input.height, self.network.input.width
        placement = self.placement(picture.shape[:2], size)
        return geometry.place(picture, placement), placement

    @torch.inference_mode()
    def detect(self, images: Tensor, placements: Sequence[Placement]) -> list[Detections]:
        """Prepared pictures `[B, C, H, W]` with their placements → Detections of each, on the CPU."""
        device = next(self.network.parameters()).device
        predictions = self.network.decode(self.network(images.to(device)))
        if self.tree is not None:
            class_probs = named_class(predictions.class_probs, self.tree)
            predictions = predictions._replace(class_probs=class_probs)
        boxes, objectness, class_probs = (part.cpu() for part in predictions)
        results = []
        for index, placement in enumerate(placements):
            found = detect(
                boxes[index],
                objectness[index],
                class_probs[index],
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                suppress=self.suppress,
            )
            results.append(replace(found, boxes=geometry.to_picture(found.boxes, placement)))
        return results
