"""COCO's metric, computed by hotcoco or pycocotools, and the conversion of our records to its JSON structures.

Our boxes are continuous xyxy image pixels; COCO's JSON has (left, top, width, height).
"""

import io
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from yolo.files.text import escaped_text
from yolo.formats.coco_structures import CocoDataset, CocoResult, coco_dataset, coco_results, ids_from_one
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet
from yolo.records import Evaluation, ScoredBoxes

if TYPE_CHECKING:
    from pycocotools.coco import COCO

NOT_MEASURED = -1  # pycocotools' value where there is no ground truth of that size or class
ALL_AREAS, MOST_DETECTIONS = 0, -1  # positions on the last two axes of COCOeval's arrays
COUNTED = 100  # detections of an image and class: COCOeval's largest maxDets


@dataclass(frozen=True)
class CocoScore:
    """COCO's twelve numbers, each in 0..1, or None where there is no ground truth of that size.

    ap: the mean over IoU thresholds 0.50 to 0.95 and classes. ap50, ap75: at one IoU threshold. small, medium, large:
    ground truth below 32², below 96², and from 96² square pixels on. ar1, ar10, ar100: the recall with at most 1, 10,
    100 detections per image. class_ap: the AP of each category, in the order of the JSON.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    class_ap: tuple[float | None, ...]


def score_coco(dataset: CocoDataset, results: Sequence[CocoResult]) -> CocoScore:
    """Score results against ground truth, both in COCO's JSON structure.

    hotcoco computes the numbers where it is installed, else pycocotools: the same digits in a fiftieth of the time
    (docs/log.md; the tests compare them). Nothing is printed. At most 100 detections per image and class count. Equal
    scores keep the order of `results`.
    """
    results = counted_results(results)  # hotcoco compares all with each ground truth, in 8 bytes a pair
    evaluated = _by_hotcoco if find_spec("hotcoco") and _has_usual_ids(dataset) else _by_pycocotools
    stats, precision, categories = evaluated(dataset, results)
    precision = precision[:, :, :, ALL_AREAS, MOST_DETECTIONS]
    ap_of = {number: _mean_measured(precision[:, :, position]) for position, number in enumerate(categories)}
    return CocoScore(
        *(None if value == NOT_MEASURED else float(value) for value in stats),
        class_ap=tuple(ap_of[category["id"]] for category in dataset["categories"]),
    )


def counted_results(results: Sequence[CocoResult]) -> Sequence[CocoResult]:
    """Return the results that COCO counts: the COUNTED best of each image and class, in the given order.

    Of equal scores the earlier ones, as pycocotools' stable sorting takes them (COCOeval.computeIoU, evaluateImg).
    """
    of = Counter((each["image_id"], each["category_id"]) for each in results)
    if max(of.values(), default=0) <= COUNTED:
        return results
    seen: Counter[tuple[int, int]] = Counter()
    kept = []
    for position in sorted(range(len(results)), key=lambda at: -results[at]["score"]):
        key = results[position]["image_id"], results[position]["category_id"]
        seen[key] += 1
        if seen[key] <= COUNTED:
            kept.append(position)
    return [results[position] for position in sorted(kept)]


class _Evaluated(NamedTuple):
    """stats: COCO's twelve numbers; precision: [IoU, recall, category, area, max detections]; categories: their ids."""

    stats: Sequence[float]
    precision: np.ndarray
    categories: Sequence[int]


def _has_usual_ids(dataset: CocoDataset) -> bool:
    """Return whether hotcoco accepts all ids. It accepts COCO's; pycocotools accepts any number."""
    ids = [each["id"] for name in ("images", "categories") for each in dataset[name]]
    return all(0 <= number < 2**63 for number in ids)


def _by_hotcoco(dataset: CocoDataset, results: Sequence[CocoResult]) -> _Evaluated:
    hotcoco = import_module("hotcoco")
    ground_truth = hotcoco.COCO(_in_unicode(dataset))
    return _evaluated(hotcoco.COCOeval(ground_truth, ground_truth.load_res(list(results)), "bbox"))


def _in_unicode(dataset: CocoDataset) -> CocoDataset:
    """Return the dataset with escapes in its names, because hotcoco accepts only UTF-8; scores do not use the names."""
    images = [{**each, "file_name": escaped_text(each["file_name"])} for each in dataset["images"]]
    categories = [{**each, "name": escaped_text(each["name"])} for each in dataset["categories"]]
    return {**dataset, "images": images, "categories": categories}


def _by_pycocotools(dataset: CocoDataset, results: Sequence[CocoResult]) -> _Evaluated:
    from pycocotools.cocoeval import COCOeval  # imports matplotlib

    annotations = [
        {**result, "id": number, "area": result["bbox"][2] * result["bbox"][3], "iscrowd": 0}
        for number, result in enumerate(results, start=1)
    ]
    ground_truth, found = _indexed(dataset), _indexed({**dataset, "annotations": annotations})
    return _evaluated(COCOeval(ground_truth, found, "bbox"))


def _evaluated(evaluation: Any) -> _Evaluated:
    """Run a COCOeval, pycocotools' or hotcoco's. It sorts the ids of the categories."""
    with redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return _Evaluated(evaluation.stats, np.asarray(evaluation.eval["precision"]), list(evaluation.params.catIds))


def _indexed(dataset: CocoDataset) -> "COCO":
    from pycocotools.coco import COCO

    coco = COCO()
    # Copy the annotations: COCOeval adds `ignore` to them
    coco.dataset = {**dataset, "annotations": [dict(each) for each in dataset["annotations"]]}
    with redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _mean_measured(values: np.ndarray) -> float | None:
    measured = values[values != NOT_MEASURED]
    return float(measured.mean()) if measured.size else None


def coco_score(evaluation: Evaluation) -> CocoScore:
    """Compute the twelve COCO numbers of an Evaluation with pycocotools; areas are those of the boxes."""
    ground_truth_set = GroundTruthSet(
        names=evaluation.names,
        files=evaluation.image_ids,
        sizes=evaluation.sizes,
        ground_truth=evaluation.ground_truth,
        origin=0.0,
    )
    return score_coco(*coco_structures(ground_truth_set, evaluation.detections))


def coco_structures(ground_truth_set: GroundTruthSet, detections: ScoredBoxes) -> tuple[CocoDataset, list[CocoResult]]:
    """Return ground truth and detections as `score_coco` takes them; images and classes keep COCO's ids."""
    known = ground_truth_set.coco_ids
    ids = _without_gaps(known) if known else ids_from_one(ground_truth_set)
    results = coco_results(detections, ground_truth_set.origin, ids)
    return coco_dataset(ground_truth_set, ids), results


def _without_gaps(ids: CocoIds) -> CocoIds:
    """Return the same ids, with unused ones for the classes that have none."""
    unused = count(1 + max(number for number in ids.categories if number is not None))
    categories = (next(unused) if number is None else number for number in ids.categories)
    return CocoIds(ids.images, tuple(categories))
