"""Make a ScoredSet of the data of a command: a pair of files, or an evaluation of a network."""

from collections.abc import Sequence
from pathlib import Path

from yolo.evaluate.metrics.voc import detections_in_voc_pixels, ground_truth_in_voc_pixels
from yolo.evaluate.pairing import Pair, as_evaluation
from yolo.explain.score.walked_score import ScoredSet
from yolo.records import Evaluation

# Below the folder of the ground truth or beside it: VOC's, and what COCO's and others' archives have
IMAGE_FOLDERS = ("JPEGImages", "images", "val2017", "train2017", "val2014", "train2014")


def scored_pair(pair: Pair, ground_truth: Path, images: Path | None) -> ScoredSet:
    """Return files of ground truth and detections as `score` scores them.

    Args:
        pair: what was read.
        ground_truth: the file or folder of the ground truth.
        images: the folder of the images; None: it is looked for near the ground truth.
    """
    ground_truth_set = pair.ground_truth_set
    evaluation = as_evaluation(ground_truth_set, pair.detections)
    near = [ground_truth.parent, ground_truth, ground_truth.parent.parent]
    folders = [images] if images else [*near, *(each / name for each in near for name in IMAGE_FOLDERS)]
    return ScoredSet(
        names=ground_truth_set.names,
        files=ground_truth_set.files,
        folders=tuple(folders),
        voc_ground_truth=ground_truth_set.ground_truth,
        voc_detections=pair.detections,
        ground_truth=evaluation.ground_truth,
        detections=evaluation.detections,
    )


def scored_evaluation(evaluation: Evaluation, paths: Sequence[Path]) -> ScoredSet:
    """Return an evaluation of a network as `evaluate` scores it. paths: of the images."""
    return ScoredSet(
        names=evaluation.names,
        files=tuple(map(str, paths)),
        folders=(),
        voc_ground_truth=ground_truth_in_voc_pixels(evaluation),
        voc_detections=detections_in_voc_pixels(evaluation),
        ground_truth=evaluation.ground_truth,
        detections=evaluation.detections,
    )
