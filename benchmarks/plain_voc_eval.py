"""VOC scoring as it is usually written: parse each XML file, then loop over classes and detections.

score_speed.py compares with this. It has the structure of the well-known voc_eval: one dictionary of all annotations,
a record per image and class, NumPy for the ground truths of one image. The annotations are parsed once; the usual
scripts also parse once, and read a pickle again for every class.

  python benchmarks/plain_voc_eval.py results VOC2007/Annotations VOC2007/ImageSets/Main/test.txt
"""

import argparse
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

PREFIX = "comp4_det_test_"
IOU_THRESH = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("results", "annotations", "imageset"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    ids = args.imageset.read_text().split()
    parsed = {image: objects_of(args.annotations / f"{image}.xml") for image in ids}
    voc07, area = [], []
    for path in sorted(args.results.glob(f"{PREFIX}*.txt")):
        recall, precision = score(path, parsed, path.stem[len(PREFIX) :])
        voc07.append(eleven_points(recall, precision))
        area.append(under_the_curve(recall, precision))
        print(f"{path.stem[len(PREFIX) :]:12} {voc07[-1]:.4f} {area[-1]:.4f}")
    print(f"mAP voc07 {np.mean(voc07):.6f}  area {np.mean(area):.6f}")


def objects_of(path: Path) -> list[dict]:
    """Return name, difficult and box of each object of one file."""
    objects = []
    for element in ElementTree.parse(path).findall("object"):
        box = element.find("bndbox")
        objects.append(
            {
                "name": element.find("name").text,
                "difficult": int(element.find("difficult").text),
                "box": [int(box.find(side).text) for side in ("xmin", "ymin", "xmax", "ymax")],
            }
        )
    return objects


def score(path: Path, parsed: dict[str, list[dict]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (recall, precision) after each detection of one class."""
    records, to_find = {}, 0
    for image, objects in parsed.items():
        ours = [each for each in objects if each["name"] == name]
        difficult = np.array([each["difficult"] for each in ours], dtype=bool)
        to_find += int(np.sum(~difficult))
        records[image] = {
            "boxes": np.array([each["box"] for each in ours], dtype=float),
            "difficult": difficult,
            "found": [False] * len(ours),
        }
    with open(path) as file:
        rows = [line.strip().split(" ") for line in file]
    scores = np.array([float(row[1]) for row in rows])
    boxes = np.array([[float(number) for number in row[2:]] for row in rows])
    order = np.argsort(-scores)
    true, false = np.zeros(len(rows)), np.zeros(len(rows))
    for rank, number in enumerate(order):
        record, box = records[rows[number][0]], boxes[number]
        best, best_iou = -1, -np.inf
        if record["boxes"].size:
            overlaps = ious(record["boxes"], box)
            best, best_iou = int(np.argmax(overlaps)), np.max(overlaps)
        if best_iou > IOU_THRESH:
            if record["difficult"][best]:
                continue
            if not record["found"][best]:
                record["found"][best] = True
                true[rank] = 1
                continue
        false[rank] = 1
    true, false = np.cumsum(true), np.cumsum(false)
    return true / to_find, true / np.maximum(true + false, np.finfo(np.float64).eps)


def ious(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the IoU of one box with others; the last pixel is inside."""
    left, top = np.maximum(boxes[:, 0], box[0]), np.maximum(boxes[:, 1], box[1])
    right, bottom = np.minimum(boxes[:, 2], box[2]), np.minimum(boxes[:, 3], box[3])
    shared = np.maximum(right - left + 1, 0) * np.maximum(bottom - top + 1, 0)
    own = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    theirs = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return shared / (own + theirs - shared)


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return the mean of the best precision from recall 0, .1 ... 1 on."""
    total = 0.0
    for point in np.arange(0.0, 1.1, 0.1):
        beyond = precision[recall >= point]
        total += (beyond.max() if len(beyond) else 0.0) / 11
    return total


def under_the_curve(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return the area under the curve, after making the precision decrease."""
    recall, precision = np.append(0, recall), np.append(0, precision)
    for place in range(len(precision) - 1, 0, -1):
        precision[place - 1] = max(precision[place - 1], precision[place])
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return float(np.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1]))


if __name__ == "__main__":
    main()
