"""The AP of a network on a data set, by this project's own scorer, with any engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.data.check import check_list
from yolo.data.labeled_images import LabeledImage
from yolo.data_file import check_classes, check_data_files, read_data
from yolo.detect.detector import Detector
from yolo.engines.shapes import Engine
from yolo.errors import DatasetError
from yolo.evaluate.evaluator import detections_of, evaluation_of
from yolo.evaluate.metrics.coco import coco_score
from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
from yolo.model.network import Network

DATA_ENDING = ".data"


@dataclass(frozen=True)
class Score:
    """COCO's AP (IoU .5 to .95) and AP50, each 0..1."""

    ap: float
    ap50: float


def read_scored(path: Path, network: Network, recheck: bool = False) -> Sequence[LabeledImage]:
    """Read the images of a list, or of the `valid` list of a .data file, with their labels.

    recheck: read files that have not changed since the last check, too.

    Raises:
        DatasetError: There is no usable image, no object, or the .data file has other classes than the network.
        OSError: A file is not there.
    """
    listed, difficult = path, None
    if path.is_dir() or path.suffix == DATA_ENDING:
        data = read_data(path)
        if data.valid is None:
            raise DatasetError(f"{path}: expected the key valid")
        check_data_files(data, "valid", "difficult")
        check_classes(data, network.classes, "the cfg")
        listed, difficult = data.valid, data.difficult
    images = check_list(listed, network.classes, network.input.channels, difficult, recheck).images
    if not any(len(image.ground_truth.labels) for image in images):
        raise DatasetError(f"{listed}: found no usable image with an object, expected images with labels to score")
    return images


def score_of(
    network: Network, names: Sequence[str], letterbox: bool, engine: Engine, images: Sequence[LabeledImage]
) -> Score:
    """Detect in the images one by one and score the detections.

    Args:
        network: Decodes the raw maps.
        names: Of its classes.
        letterbox: Whether images keep their aspect ratio.
        engine: Computes the raw maps of one image.
        images: With labels.
    """
    detector = Detector(network, names, MAP_SCORE_THRESH, MAP_NMS_THRESH, letterbox=letterbox, engine=engine)
    score = coco_score(evaluation_of(names, images, detections_of(detector, images, batch=1, workers=0)))
    return Score(score.ap or 0.0, score.ap50 or 0.0)
