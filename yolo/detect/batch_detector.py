"""A detector for engines that hand batches of rows to workers, such as Ray Data's `map_batches`.

Ray Data reads from local disks and object storage, starts workers on all machines of a cluster, and writes tables.
docs/scale.md shows complete programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from yolo.data.parallel import in_threads
from yolo.defaults import DEFAULT_ENGINE, DEFAULT_PRECISION, NMS_THRESH, SCORE_THRESH
from yolo.detect.detector import Detector
from yolo.detect.inputs import image_pixels
from yolo.detect.outputs.parts import objects_type
from yolo.errors import DatasetError
from yolo.extras import import_extra
from yolo.letterbox import Placement, batch_of
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.named_files import given_or_shipped
from yolo.names_file import read_names
from yolo.records import Detections

if TYPE_CHECKING:
    import pyarrow

# Where a batch may have its images: Ray's read_images, read_binary_files and from_items, and lists of paths.
COLUMNS = ("image", "bytes", "path", "item")
HEAVY = ("image", "bytes")  # columns that are not passed on
Prepared = tuple[Tensor, Placement]


class BatchDetector:
    """`dataset.map_batches(BatchDetector, fn_constructor_kwargs={...}, batch_size=32, concurrency=2)`.

    Each worker builds its own network. Images may be arrays, the bytes of files, or paths that every worker can read.

    Args:
        cfg: A .cfg file that every worker can read, or the name of a shipped one.
        weights: A .weights or .safetensors file that every worker can read.
        names: The class names, a file of them, or the name of a shipped list.
        score_thresh: Scores must exceed this.
        nms_thresh: Two boxes of a class that overlap by more than this become one.
        letterbox: Keep the aspect of the images, also if the cfg does not ask for it.
        dialect: "alexeyab" or "pjreddie".
        engine, precision: What computes the network, and with which numbers, as for `Detector`.
        device: "auto" is the GPU that the worker was given, else the CPU.
        column: With the images; None: the first of COLUMNS that exists.

    Raises:
        CfgError, WeightsError, DatasetError: As reading these files does.
        MissingPackageError: pyarrow is not installed, without which Ray Data does not run.
    """

    def __init__(
        self,
        cfg: str | Path,
        weights: str | Path,
        names: str | Path | Sequence[str],
        score_thresh: float = SCORE_THRESH,
        nms_thresh: float = NMS_THRESH,
        letterbox: bool = False,
        dialect: str = "alexeyab",
        engine: str = DEFAULT_ENGINE,
        precision: str = DEFAULT_PRECISION,
        device: str = "auto",
        column: str | None = None,
    ) -> None:
        self._arrow = import_extra("pyarrow", "ray", "BatchDetector")
        if isinstance(names, str | Path):
            names = read_names(given_or_shipped(str(names), ".names"))
        network = Network.from_cfg(given_or_shipped(str(cfg), ".cfg"), dialect=dialect)
        load_weights(network, weights)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        letterbox = letterbox or network.letterboxed
        options = {"letterbox": letterbox, "engine": engine, "precision": precision}
        self._detector = Detector(network.to(device), names, score_thresh, nms_thresh, **options)
        self._column = column

    def __call__(self, batch: Mapping[str, np.ndarray]) -> pyarrow.Table:
        """Detect in the images of a batch, all of them at a time.

        Args:
            batch: Columns by name, as `batch_format="numpy"` gives them.

        Returns:
            A table: all columns but the pixels or bytes; `width` and `height` of the image; `objects`, for each one
            class_id, name, score and box (xyxy in image pixels), as `Detections.to_dict`; and `error`, one line for
            an image that cannot be read, else null.

        Raises:
            DatasetError: The batch has no column with images.
        """
        column = self._column or next((name for name in COLUMNS if name in batch), None)
        if column not in batch:
            expected = self._column or f"one of {', '.join(COLUMNS)}"
            raise DatasetError(f"found the columns {', '.join(batch)}, expected images in {expected}")
        prepared = list(in_threads(self._prepare, batch[column], chunk=1))
        good = [each for each in prepared if not isinstance(each, str)]
        found = iter(())
        if good:
            inputs, placements = zip(*good, strict=True)
            found = iter(zip(self._detector.detect(batch_of(inputs), placements), placements, strict=True))
        rows = [_error(each) if isinstance(each, str) else _row(*next(found)) for each in prepared]
        kept = {name: values for name, values in batch.items() if name not in (*HEAVY, "objects", "error")}
        return self._table(kept, rows)

    def _prepare(self, image: object) -> Prepared | str:
        """Return the network input of an image, or why it cannot be read."""
        try:
            return self._detector.prepare(image_pixels(image, self._detector.network.input.channels))
        except (DatasetError, OSError, TypeError, ValueError) as error:
            return str(error)

    def _table(self, kept: Mapping[str, np.ndarray], rows: Sequence[tuple]) -> pyarrow.Table:
        arrow = self._arrow
        names = ("width", "height", "objects", "error")
        types = (arrow.int32(), arrow.int32(), objects_type(arrow), arrow.string())
        columns = {name: arrow.array(list(values)) for name, values in kept.items()}
        for name, kind, values in zip(names, types, zip(*rows, strict=True), strict=True):
            columns[name] = arrow.array(list(values), kind)
        return arrow.table(columns)


def _row(detections: Detections, placement: Placement) -> tuple:
    height, width = placement.image
    return width, height, detections.to_dict(), None


def _error(message: str) -> tuple:
    return None, None, [], message
