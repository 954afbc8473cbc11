"""Score detections of any format against ground truth of any format, or write them in another format.

ground truth       voc: a folder of XML, with --imageset
            labels: a Darknet .data (its valid list), or a list of images with --names
            coco: an annotation file (instances_*.json)
detections  comp4: a folder of comp4_det_test_CLASS.txt
            coco: COCO's result json (with --ids where the ground truth is no COCO file)
            darknet: the json of Darknet's -out
            labels-score-first, labels-score-last: a folder of PICTURE.txt, rows of class score cx cy w h,
            or of class cx cy w h score as ultralytics writes them
A format is asked for where it is not certain from what is there. What is wrong is named and stops: nothing is left
out. Boxes are scored as they stand in the files, VOC's numbers with its last pixel counted, as in score_voc.py.
--metric all adds what every scorer makes of these boxes, each with its conventions.

examples:
  python tools/score.py --truth instances_val2017.json --detections coco_results.json
  python tools/score.py --truth voc/voc.data --detections result.json --metric area
  python tools/score.py --truth VOC2007/Annotations --imageset VOC2007/ImageSets/Main/test.txt \\
      --detections results --convert-to coco --out results.json
"""

import argparse
import json
import sys
from pathlib import Path

from yolo.console import new_file, run, share, stop
from yolo.errors import DatasetError
from yolo.evaluate.metrics.all import all_metrics
from yolo.evaluate.metrics.coco import coco_structures, score_coco
from yolo.evaluate.metrics.conventions import COCO_ROWS, everything_text, metrics_record
from yolo.evaluate.metrics.darknet import COUNTED_THRESH
from yolo.evaluate.metrics.table import (
    average_precisions,
    class_table,
    format_ap,
    mean_line,
    summary,
)
from yolo.evaluate.metrics.voc import VOC_PIXEL_EXTENT, score_classes
from yolo.evaluate.pairing import Pair, Sources, evaluation_of_pair, read_pair, write_as
from yolo.files import write_text
from yolo.formats.recognition import (
    DetectionFormat,
    GroundTruthFormat,
    detection_format,
    ground_truth_format,
)

METRICS = {"voc07": ("voc07",), "area": ("area",), "coco": ("coco",)}
USUAL, EVERYTHING = ("voc07", "area", "coco"), "all"
COCO_LINE = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")


def main() -> None:
    args = _arguments()
    pair = read_pair(_sources(args))
    for remark in pair.remarks:
        print(remark, file=sys.stderr)
    if args.convert_to:
        written = write_as(args.out, DetectionFormat(args.convert_to), pair)
        count = len(pair.detections.scores)
        print(f"{count} detections written to {' and '.join(map(str, written))}")
    else:
        _score(pair, args)


def _score(pair: Pair, args: argparse.Namespace) -> None:
    names, ground_truth = pair.images.names, pair.images.ground_truth
    scores = score_classes(ground_truth, pair.detections, len(names), args.iou, VOC_PIXEL_EXTENT)
    metrics = METRICS.get(args.metric, USUAL)
    coco = score_coco(*coco_structures(pair.images, pair.detections)) if "coco" in metrics else None
    values = {
        metric: coco.class_ap if metric == "coco" else average_precisions(scores, metric)
        for metric in metrics
    }
    counts = (
        [score.match.ground_truths for score in scores],
        [score.match.detections for score in scores],
    )
    content = summary(names, args.iou, values)
    print(class_table(names, *counts, values))
    print(mean_line(values))
    if coco:
        content["coco"] = {row: getattr(coco, field) for row, field, _ in COCO_ROWS}
        print("coco " + "  ".join(f"{row} {format_ap(content['coco'][row])}" for row in COCO_LINE))
    if args.metric == EVERYTHING:
        everything = all_metrics(evaluation_of_pair(pair), coco, args.iou, args.thresh)
        print(everything_text(everything))
        content["all"] = metrics_record(everything)
    if args.json:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(args.json, text + "\n")
        print(f"scores written to {args.json}")


def _sources(args: argparse.Namespace) -> Sources:
    known = (
        GroundTruthFormat(args.truth_format)
        if args.truth_format
        else ground_truth_format(args.truth)
    )
    if known is GroundTruthFormat.COCO and args.ids:
        raise DatasetError(f"--ids {args.ids}: found with COCO ground truth, which has its own")
    if known is not GroundTruthFormat.VOC and args.imageset:
        raise DatasetError(f"--imageset {args.imageset}: found without a folder of XML")
    wanted = DetectionFormat(args.format) if args.format else detection_format(args.detections)
    target = DetectionFormat(args.convert_to) if args.convert_to else None
    paths = args.imageset, args.names, args.ids
    return Sources(args.truth, known, args.detections, wanted, *paths, target)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    formats = [each.value for each in DetectionFormat]
    add("--truth", type=Path, required=True, metavar="PATH")
    add("--detections", type=Path, required=True, metavar="PATH")
    add("--truth-format", choices=[each.value for each in GroundTruthFormat])
    add("--format", choices=formats, help="of the detections")
    add("--imageset", type=Path, metavar="FILE", help="the images of a folder of XML, one a line")
    add("--names", type=Path, metavar="FILE", help="the classes, by their numbers")
    add("--ids", type=Path, metavar="JSON", help="COCO file that a COCO result's numbers are of")
    add("--metric", choices=(*METRICS, EVERYTHING), help="default: voc07, area and coco")
    add(
        "--thresh", type=share, default=COUNTED_THRESH, metavar="SCORE",
        help="of --metric all: precision, recall, confusion above this score; "
        f"default {COUNTED_THRESH:g}",
    )  # fmt: skip
    add("--iou", type=float, default=0.5, help="VOC: a hit overlaps by more than this; default 0.5")
    add("--json", type=new_file, metavar="FILE", help="write all digits of the scores")
    add("--convert-to", choices=formats, help="write the detections so, instead of scoring them")
    add("--out", type=Path, metavar="PATH", help="where --convert-to writes")
    args = parser.parse_args()
    if not 0 < args.iou < 1:
        stop(f"--iou {args.iou:g}: expected a number between 0 and 1")
    if (args.convert_to is None) != (args.out is None):
        stop("expected --convert-to and --out together")
    if args.convert_to and (args.json or args.metric):
        stop("found --json or --metric with --convert-to, which scores nothing")
    return args


if __name__ == "__main__":
    run(main)
