"""Read ground truth and detections of any two formats, and write the detections in another format."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolo.console.progress import progress
from yolo.errors import DatasetError, counted
from yolo.files.folders import replacing_folder
from yolo.formats.coco_annotations import (
    CocoFile,
    coco_ids_of,
    read_coco,
    read_coco_ground_truth,
    write_coco_ground_truth,
)
from yolo.formats.coco_results import read_coco_detections, write_coco_detections
from yolo.formats.coco_structures import ids_from_one
from yolo.formats.darknet_json import DarknetFrames, frames_to_detections, read_darknet_json, write_darknet_json
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet, alias_remark, index_by_image_id, inverted_boxes
from yolo.formats.label_detections import Columns, read_label_detections, write_label_detections
from yolo.formats.recognition import FRACTION_FORMATS, LABEL_FORMATS, DetectionFormat, GroundTruthFormat
from yolo.formats.voc_results import read_results, results_names, write_results
from yolo.formats.voc_xml import read_image_set, read_voc_ground_truth
from yolo.names_file import read_classes
from yolo.records import UNKNOWN_SIZE, VOC_ORIGIN, Evaluation, ScoredBoxes

COLUMNS = {
    DetectionFormat.LABELS_SCORE_FIRST: Columns.SCORE_FIRST,
    DetectionFormat.LABELS_SCORE_LAST: Columns.SCORE_LAST,
}


@dataclass(frozen=True)
class Sources:
    """The files to read.

    imageset: the file that lists the images of a folder of VOC annotations. names: the file of class names, where
    the other files do not give their order. ids: the COCO annotation file whose ids a COCO result file uses, if the
    ground truth is another file. target: the format that the detections will be written in, None if they are scored.
    """

    ground_truth: Path
    ground_truth_format: GroundTruthFormat
    detections: Path
    detection_format: DetectionFormat
    imageset: Path | None = None
    names: Path | None = None
    ids: Path | None = None
    target: DetectionFormat | None = None
    recheck: bool = False


@dataclass(frozen=True)
class Pair:
    """Ground truth and detections in the same frame.

    coco_ids: the ids for a COCO result file, None where neither the ground truth nor `Sources.ids` gives them.
    remarks: remarks on the files for the user, one line each. problems: errors in the detections that are scored
    nevertheless, as the reference scorers do, one line each.
    """

    ground_truth_set: GroundTruthSet
    detections: ScoredBoxes
    coco_ids: CocoIds | None
    remarks: tuple[str, ...]
    problems: tuple[str, ...] = ()


def read_pair(sources: Sources) -> Pair:
    """Read ground truth and detections.

    Boxes are VOC's pixels, from VOC_ORIGIN, if VOC's files are read or written, so that their numbers stay as they
    are; otherwise they begin at 0.

    Raises:
        DatasetError: the files have an error or are ambiguous, except for inverted boxes; no row is left out.
    """
    path, kind = sources.detections, sources.detection_format
    frames = read_darknet_json(path) if kind is DetectionFormat.DARKNET else None
    coco_file = read_coco(sources.ids) if sources.ids else None
    detected = _detected_classes(path, kind, frames, coco_file)
    ground_truth_set = _read_ground_truth(sources, detected)
    coco_ids = coco_ids_of(coco_file, ground_truth_set) if coco_file else ground_truth_set.coco_ids
    other_names = alias_remark(detected, ground_truth_set.names)
    remarks = [f"{sources.ids if coco_file else path}: {other_names}"] if other_names else []
    if frames is not None:
        detections = frames_to_detections(frames, ground_truth_set)
    elif kind is DetectionFormat.COMP4:
        detections = read_results(path, ground_truth_set)
    elif kind is DetectionFormat.COCO:
        if coco_ids is None:
            expected = "--ids with the COCO annotation file that its image and category ids are of"
            raise DatasetError(f"{path}: found a COCO result file, expected {expected}")
        detections = read_coco_detections(path, ground_truth_set, coco_ids)
    else:
        detections, without = read_label_detections(path, ground_truth_set, COLUMNS[kind])
        if without:
            found = f"found no file for {len(without)} of {len(ground_truth_set.files)} images"
            remarks.append(f"{path}: {found}, such as {without[0]}: no detections there")
    return Pair(ground_truth_set, detections, coco_ids, tuple(remarks), _problems(path, ground_truth_set, detections))


def _problems(path: Path, ground_truth_set: GroundTruthSet, detections: ScoredBoxes) -> tuple[str, ...]:
    """Return a line about inverted boxes, or no line."""
    inverted = inverted_boxes(detections.boxes)
    if not inverted.size:
        return ()
    first = inverted[0]
    box = " ".join(f"{number:g}" for number in detections.boxes[first].tolist())
    name = ground_truth_set.names[detections.labels[first]]
    image = ground_truth_set.files[detections.image_index[first]]
    among = counted(len(detections.scores), "detection")
    found = f"found {counted(inverted.size, 'inverted box')} among {among}"
    return (f"{path}: {found}, first {box} (xmin ymin xmax ymax) of {name} in {image}",)


def _detected_classes(
    path: Path, kind: DetectionFormat, frames: DarknetFrames | None, coco_file: CocoFile | None
) -> tuple[str, ...]:
    """Return the classes that the detections' files name; a folder of annotations need not have them."""
    if frames is not None:
        return tuple(dict.fromkeys(frames.classes))
    if kind is DetectionFormat.COMP4:
        return results_names(path)
    return tuple(coco_file.categories.values()) if coco_file else ()


def _read_ground_truth(sources: Sources, detected_classes: tuple[str, ...]) -> GroundTruthSet:
    path, kind = sources.ground_truth, sources.ground_truth_format
    formats = {sources.detection_format, sources.target}
    with_voc = kind is GroundTruthFormat.VOC or DetectionFormat.COMP4 in formats
    origin = VOC_ORIGIN if with_voc else 0.0
    names = read_classes(sources.names) if sources.names else None
    if kind is GroundTruthFormat.COCO:
        return read_coco_ground_truth(path, origin, names)
    if kind is GroundTruthFormat.LABELS:
        from yolo.evaluate.listed_ground_truth import read_listed_ground_truth  # imports torch

        return read_listed_ground_truth(path, names, origin, sources.recheck)
    if sources.imageset is None:
        raise DatasetError(f"{path}: found a folder of XML, expected --imageset, too")
    if names is None and formats & {*LABEL_FORMATS}:
        raise DatasetError(f"{path}: found classes without numbers, expected --names, too")
    return read_voc_ground_truth(
        path,
        progress(read_image_set(sources.imageset), "annotations"),
        names,
        detected_classes,
        needs_sizes=bool(formats & {*FRACTION_FORMATS}) or sources.target is DetectionFormat.COCO,
    )


def write_as(path: Path, target: DetectionFormat, pair: Pair) -> list[Path]:
    """Write the detections in another format and return the files or folders that were written.

    A COCO result file without known ids comes with the annotation file that its ids refer to. A folder is written
    whole or not at all.

    Raises:
        DatasetError: the format cannot hold the detections, or the folder is not empty.
    """
    ground_truth_set, detections = pair.ground_truth_set, pair.detections
    if target is DetectionFormat.DARKNET:
        write_darknet_json(path, ground_truth_set, detections)
        return [path]
    if target is DetectionFormat.COCO:
        coco_ids, written = pair.coco_ids, [path]
        if coco_ids is None:
            coco_ids = ids_from_one(ground_truth_set)
            written.append(path.with_suffix(".truth.json"))
            # written first, so that no result file exists without it
            write_coco_ground_truth(written[-1], ground_truth_set, coco_ids)
        write_coco_detections(path, ground_truth_set, coco_ids, detections)
        return written
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(f"{path}: found files in it, expected a new or an empty folder")
    with replacing_folder(path) as folder:
        if target is DetectionFormat.COMP4:
            image_ids = [*index_by_image_id(ground_truth_set)]
            prefix = ground_truth_set.message_prefix
            write_results(folder, ground_truth_set.names, image_ids, detections, prefix)
        else:
            write_label_detections(folder, ground_truth_set, detections, COLUMNS[target])
    return [path]


def as_evaluation(ground_truth_set: GroundTruthSet, detections: ScoredBoxes) -> Evaluation:
    """Return both with boxes that begin at 0.

    The images' sizes are UNKNOWN_SIZE, so that boxes are scored as they are, not clamped to their images.
    """
    origin, ground_truth = ground_truth_set.origin, ground_truth_set.ground_truth
    return Evaluation(
        names=ground_truth_set.names,
        image_ids=ground_truth_set.image_ids,
        sizes=np.full((len(ground_truth_set.files), 2), UNKNOWN_SIZE, np.int64),
        ground_truth=replace(ground_truth, boxes=ground_truth.boxes - origin),
        detections=replace(detections, boxes=detections.boxes - origin),
    )
