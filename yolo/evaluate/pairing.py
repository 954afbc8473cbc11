"""Ground truth and detections of any two formats side by side, and detections written in another format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolo.cfg import read_data
from yolo.data.convert.voc import read_classes
from yolo.errors import DatasetError
from yolo.files import replacing_folder
from yolo.formats.coco_annotations import (
    CocoFile,
    coco_ground_truth,
    counted,
    numbers_of,
    read_coco,
    write_coco_ground_truth,
)
from yolo.formats.coco_results import read_coco_detections, write_coco_detections
from yolo.formats.darknet_json import Frames, frames_detections, read_frames, write_frames
from yolo.formats.ground_truth_set import CocoNumbers, GroundTruthSet
from yolo.formats.label_files import Columns, read_label_detections, write_label_detections
from yolo.formats.recognition import (
    LABEL_FORMATS,
    SHARE_FORMATS,
    DetectionFormat,
    GroundTruthFormat,
)
from yolo.formats.voc_results import read_comp4, results_names, write_comp4
from yolo.formats.voc_xml import (
    UNKNOWN_SIZE,
    VOC_ORIGIN,
    read_image_set,
    voc_ground_truth,
    with_sizes,
)
from yolo.records import Evaluation, ScoredBoxes

COLUMNS = {
    DetectionFormat.LABELS_SCORE_FIRST: Columns.SCORE_FIRST,
    DetectionFormat.LABELS_SCORE_LAST: Columns.SCORE_LAST,
}


@dataclass(frozen=True)
class Sources:
    """What to read, and what will be written of it: target, None where nothing will.

    imageset: which images of a folder of annotations. names: the classes by their numbers, where the files do not
    say. ids: the COCO annotation file whose numbers a COCO result file has, where the ground truth is another.
    """

    ground_truth: Path
    ground_truth_format: GroundTruthFormat
    detections: Path
    detection_format: DetectionFormat
    imageset: Path | None
    names: Path | None
    ids: Path | None
    target: DetectionFormat | None


@dataclass(frozen=True)
class Pair:
    """What was read: ground truth and detections in one frame, and what a user should know of them, a line each."""

    images: GroundTruthSet
    detections: ScoredBoxes
    numbers: CocoNumbers | None
    remarks: tuple[str, ...]


def read_pair(sources: Sources) -> Pair:
    """Read ground truth and detections.

    Boxes are VOC's pixels where VOC's files take part, so that they stay as they are; else they begin at 0.
    Raises DatasetError for anything that is not certain or not right; nothing is left out.
    """
    detections = sources.detection_format
    frames = read_frames(sources.detections) if detections is DetectionFormat.DARKNET else None
    ids = read_coco(sources.ids) if sources.ids else None
    images = _ground_truth(sources, _names_found(sources, frames, ids))
    numbers = numbers_of(ids, images) if ids else images.numbers
    remarks = ()
    if frames is not None:
        found = frames_detections(frames, images)
    elif detections is DetectionFormat.COMP4:
        found = read_comp4(sources.detections, images)
    elif detections is DetectionFormat.COCO:
        if numbers is None:
            expected = "--ids with the COCO annotation file that its image and category ids are of"
            raise DatasetError(
                f"{sources.detections}: found a COCO result file, expected {expected}"
            )
        found = read_coco_detections(sources.detections, images, numbers)
    else:
        columns = COLUMNS[detections]
        found, without = read_label_detections(sources.detections, images, columns)
        if without:
            what = f"found no file for {len(without)} of {len(images.files)} images"
            remarks = (f"{sources.detections}: {what}, such as {without[0]}: no detections there",)
    return Pair(images, found, numbers, remarks)


def write_as(path: Path, target: DetectionFormat, pair: Pair) -> list[Path]:
    """Write the detections in another format; of a COCO result file without ids, the file that explains them, too.

    A folder is written whole or not at all.
    Raises DatasetError for what the format cannot hold, and for a folder that has files in it.
    """
    images, detections = pair.images, pair.detections
    if target is DetectionFormat.DARKNET:
        write_frames(path, images, detections)
    elif target is DetectionFormat.COCO:
        numbers = pair.numbers or counted(images)
        explained = [] if pair.numbers else [path.with_suffix(".truth.json")]
        for file in explained:  # first, so that no result stands without it
            write_coco_ground_truth(file, images, numbers)
        write_coco_detections(path, images, numbers, detections)
        return [path, *explained]
    else:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DatasetError(f"{path}: found files in it, expected a new or an empty folder")
        with replacing_folder(path) as folder:
            if target is DetectionFormat.COMP4:
                write_comp4(folder, images, detections)
            else:
                write_label_detections(folder, images, detections, COLUMNS[target])
    return [path]


def evaluation_of_pair(pair: Pair) -> Evaluation:
    """The pair with boxes that begin at 0. No sizes: boxes are scored as they stand, not clamped to their images."""
    images, detections = pair.images, pair.detections
    return Evaluation(
        names=images.names,
        image_ids=images.image_ids,
        sizes=np.full((len(images.files), 2), UNKNOWN_SIZE, np.int64),
        ground_truth=replace(images.ground_truth, boxes=images.ground_truth.boxes - images.origin),
        detections=replace(detections, boxes=detections.boxes - images.origin),
    )


def _names_found(sources: Sources, frames: Frames | None, ids: CocoFile | None) -> tuple[str, ...]:
    """Classes that the detections name, which a folder of annotations need not have."""
    if frames is not None:
        return tuple(dict.fromkeys(frames.classes))
    if sources.detection_format is DetectionFormat.COMP4:
        return results_names(sources.detections)
    return tuple(ids.categories.values()) if ids else ()


def _ground_truth(sources: Sources, more_names: Sequence[str]) -> GroundTruthSet:
    names = read_classes(sources.names) if sources.names else None
    voc = (sources.ground_truth_format, sources.detection_format, sources.target)
    takes_part = GroundTruthFormat.VOC in voc or DetectionFormat.COMP4 in voc
    origin = VOC_ORIGIN if takes_part else 0.0
    if sources.ground_truth_format is GroundTruthFormat.COCO:
        return coco_ground_truth(sources.ground_truth, origin, names)
    if sources.ground_truth_format is GroundTruthFormat.LABELS:
        return _listed_ground_truth(sources, names, origin)
    if sources.imageset is None:
        raise DatasetError(
            f"{sources.ground_truth}: found a folder of XML, expected --imageset, too"
        )
    if names is None and {sources.detection_format, sources.target} & {*LABEL_FORMATS}:
        raise DatasetError(
            f"{sources.ground_truth}: found classes without numbers, expected --names, too"
        )
    image_ids = read_image_set(sources.imageset)
    images = voc_ground_truth(sources.ground_truth, image_ids, names, more_names)
    in_shares = {sources.detection_format, sources.target} & {*SHARE_FORMATS}
    needed = in_shares or sources.target is DetectionFormat.COCO
    return with_sizes(images, sources.ground_truth) if needed else images


def _listed_ground_truth(
    sources: Sources, names: Sequence[str] | None, origin: float
) -> GroundTruthSet:

    from yolo.evaluate.listed_ground_truth import (
        listed_ground_truth,
    )  # imports torch, which takes seconds

    images, difficult = sources.ground_truth, None
    if sources.ground_truth.suffix.lower() == ".data":
        data = read_data(sources.ground_truth)
        images, difficult = data.valid, data.difficult
        if data.names is not None and names is not None:
            raise DatasetError(f"{sources.ground_truth}: found names in it, expected no --names")
        names = read_classes(data.names) if data.names else names
        if images is None:
            raise DatasetError(f"{sources.ground_truth}: expected the key valid")
        if names is not None and data.classes not in (None, len(names)):
            found = f"classes={data.classes} and {len(names)} names"
            raise DatasetError(f"{sources.ground_truth}: found {found}, expected as many")
    if names is None:
        raise DatasetError(f"{sources.ground_truth}: found no class names, expected --names")
    return listed_ground_truth(images, names, difficult, origin)
