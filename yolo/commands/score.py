"""Score detections of any format against ground truth of any format, or write them in another format.

ground truth       voc: a folder of XML, with --imageset
            labels: a Darknet .data (its valid list), or a list of images with --names
            coco: an annotation file (instances_*.json)
detections  comp4: a folder of comp4_det_test_CLASS.txt
            coco: COCO's result json (with --ids if the ground truth is no COCO file)
            darknet: the json of Darknet's -out
            labels-score-first, labels-score-last: a folder of IMAGE.txt, rows of class score cx cy w h,
            or of class cx cy w h score as ultralytics writes them
Give the format if the files do not show it. Any error in the files stops the command: nothing is left out. Inverted
boxes, which Darknet writes for boxes outside the image, are scored as the reference scorers do, and reported.
Boxes are scored as they are in the files, VOC's with their last pixel counted, as by score_voc.
--metric all adds the results of every scorer for the same boxes, each with its conventions.

examples:
  yolo-darknet score --truth instances_val2017.json --detections coco_results.json
  yolo-darknet score --truth voc/voc.data --detections result.json --metric area
  yolo-darknet score --truth VOC2007/Annotations --imageset VOC2007/ImageSets/Main/test.txt \\
      --detections results --convert-to coco --out results.json

--explain CLASS --report DIR writes a page that follows one class from its sorted detections to its average precision:
  yolo-darknet score --truth voc/voc.data --detections result.json --explain dog --report ap
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import fraction, names_file, new_file, new_folder
from yolo.console.options import add_recheck_option
from yolo.console.run import stop
from yolo.defaults import COUNTED_THRESH
from yolo.errors import DatasetError, counted
from yolo.files.outputs import refuse_texts_over
from yolo.formats.recognition import DetectionFormat, GroundTruthFormat, detection_format, ground_truth_format

if TYPE_CHECKING:
    from yolo.evaluate.metrics.voc import ClassScore
    from yolo.evaluate.pairing import Pair, Sources

METRICS = ("voc07", "area", "coco")


def main() -> None:
    args = _arguments()

    from yolo.evaluate.pairing import read_pair, write_as

    refuse_texts_over([args.json, args.out], [args.truth, args.detections, args.imageset, args.names, args.ids])
    pair = read_pair(_sources(args))
    print_remarks(pair, args.on_problem == "stop")
    if args.explain:
        check_explanation(pair, args.explain, args.report)
    if args.convert_to:
        written = write_as(args.out, DetectionFormat(args.convert_to), pair)
        count = len(pair.detections.scores)
        print(f"{counted(count, 'detection')} written to {' and '.join(map(str, written))}")
    else:
        metrics = (args.metric,) if args.metric in METRICS else METRICS
        print_scores(pair, metrics, args.metric == "all", args.iou, args.thresh, args.json)
    if args.explain:
        write_explanation(pair, args.truth, args)


def write_explanation(pair: "Pair", ground_truth: Path, args: argparse.Namespace) -> None:
    """Write the page of `--explain`. ground_truth: its file or folder; the images are looked for near it."""
    from yolo.explain.score.page import explain_score
    from yolo.explain.score.scored_set import scored_pair

    page = explain_score(args.report, scored_pair(pair, ground_truth, args.images), args.explain, args.iou)
    print(f"explained: {page}")


def check_explanation(pair: "Pair", class_name: str, folder: Path) -> None:
    """Check the class of `--explain` and the folder of `--report` before the detections are scored."""
    from yolo.explain.score.page import NUMBERS_FILE
    from yolo.explain.score.walked_score import class_number
    from yolo.pages.page import check_page_folder

    class_number(class_name, pair.ground_truth_set.names)
    check_page_folder(folder, NUMBERS_FILE)


def print_remarks(pair: "Pair", stops: bool) -> None:
    """Print remarks on the files. stops: raise DatasetError for the first problem instead."""
    if stops and pair.problems:
        raise DatasetError(pair.problems[0])
    rules = "scored as they are: VOC's rules count them as false positives, COCO's leave them out"
    for remark in (*pair.remarks, *(f"{problem}; {rules}" for problem in pair.problems)):
        print(remark, file=sys.stderr)


def print_scores(
    pair: "Pair",
    metrics: tuple[str, ...],
    everything: bool,
    iou_thresh: float,
    score_thresh: float,
    json_file: Path | None,
) -> "tuple[ClassScore, ...]":
    """Score detections; print a table of the classes and the means, and write them as json.

    Args:
        pair: ground truth and detections.
        metrics: the columns of average precision: "voc07", "area", "coco".
        everything: add the results of every scorer.
        iou_thresh: a true positive overlaps by more than this, except in COCO's metrics.
        score_thresh: for `everything`: count detections above this score.
        json_file: write all digits there. None: do not.

    Returns:
        Each class's score by VOC's rules.
    """
    from yolo.evaluate.metrics.all import all_metrics
    from yolo.evaluate.metrics.conventions import (
        average_precision_summary,
        everything_text,
        metrics_record,
    )
    from yolo.evaluate.metrics.voc import VOC_PIXEL_EXTENT, score_classes
    from yolo.evaluate.pairing import as_evaluation

    ground_truth_set, detections = pair.ground_truth_set, pair.detections
    names, ground_truth = ground_truth_set.names, ground_truth_set.ground_truth
    scores = score_classes(ground_truth, detections, len(names), iou_thresh, VOC_PIXEL_EXTENT)
    coco = None
    if everything or "coco" in metrics:
        # imported here: importing pycocotools takes a third of the time of scoring VOC2007 test
        from yolo.evaluate.metrics.coco import coco_structures, score_coco

        coco = score_coco(*coco_structures(ground_truth_set, detections))
    text, content = average_precision_summary(names, scores, coco, metrics, iou_thresh)
    print(text)
    if everything:
        evaluation = as_evaluation(ground_truth_set, detections)
        all_scores = all_metrics(evaluation, coco, iou_thresh, score_thresh)
        print(everything_text(all_scores))
        content["all"] = metrics_record(all_scores)
    if json_file:
        from yolo.files.writing import write_text
        from yolo.formats.json_file import readable_json

        write_text(json_file, readable_json(content, indent=2, allow_nan=False) + "\n")
        print(f"scores written to {json_file}")
    return scores


def _sources(args: argparse.Namespace) -> "Sources":
    from yolo.evaluate.pairing import Sources

    given = args.truth_format
    ground_truth = GroundTruthFormat(given) if given else ground_truth_format(args.truth)
    if ground_truth is GroundTruthFormat.COCO and args.ids:
        raise DatasetError(f"--ids {args.ids}: found with COCO ground truth, which has its own")
    if ground_truth is not GroundTruthFormat.VOC and args.imageset:
        raise DatasetError(f"--imageset {args.imageset}: found without a folder of XML")
    detections = DetectionFormat(args.format) if args.format else detection_format(args.detections)
    target = DetectionFormat(args.convert_to) if args.convert_to else None
    files = args.imageset, args.names, args.ids
    return Sources(args.truth, ground_truth, args.detections, detections, *files, target, args.recheck)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    formats = [each.value for each in DetectionFormat]
    add("--truth", type=Path, required=True, metavar="PATH", help="the ground truth")
    add("--detections", type=Path, required=True, metavar="PATH", help="the detections")
    ground_truth_formats = [each.value for each in GroundTruthFormat]
    add("--truth-format", choices=ground_truth_formats, help="of the ground truth")
    add("--format", choices=formats, help="of the detections")
    add("--imageset", type=Path, metavar="FILE", help="the images of a folder of XML, one a line")
    names = "the class names in the order of their numbers"
    add("--names", type=names_file, metavar="FILE", help=names)
    add("--ids", type=Path, metavar="JSON", help="the COCO file whose ids a COCO result file uses")
    add("--metric", choices=(*METRICS, "all"), help="default: voc07, area and coco")
    add_threshold_options(parser)
    add_problem_option(parser)
    add("--convert-to", choices=formats, help="write the detections in this format, do not score")
    add("--out", type=Path, metavar="PATH", help="where --convert-to writes")
    add_explain_options(parser)
    add_recheck_option(parser)
    args = parser.parse_args()
    check_iou(args.iou)
    check_explain_options(args)
    if (args.convert_to is None) != (args.out is None):
        stop("expected --convert-to and --out together")
    if args.convert_to and (args.json or args.metric):
        stop("found --json or --metric with --convert-to, which scores nothing")
    if args.convert_to and args.explain:
        stop("found --explain with --convert-to, which scores nothing")
    return args


def add_explain_options(parser: argparse.ArgumentParser) -> None:
    """Add `--explain`, `--report` and `--images`, which both commands that score files have."""
    add = parser.add_argument
    add("--explain", metavar="CLASS", help="explain the average precision of this class on a page, with --report")
    add("--report", type=new_folder, metavar="DIR", help="where --explain writes index.html, ap.json, detections.csv")
    add("--images", type=Path, metavar="DIR", help="where --explain finds the images, if not near the ground truth")


def check_explain_options(args: argparse.Namespace) -> None:
    """Stop the command if one of `--explain` and `--report` is given without the other."""
    if (args.explain is None) != (args.report is None):
        stop("expected --explain and --report together")
    if args.images and not args.images.is_dir():
        stop(f"--images {args.images}: expected a folder")


def add_threshold_options(parser: argparse.ArgumentParser) -> None:
    """Add `--thresh`, `--iou` and `--json`, which both commands that score files have."""
    add = parser.add_argument
    add(
        "--thresh",
        type=fraction,
        default=COUNTED_THRESH,
        metavar="SCORE",
        help="with --metric all: precision, recall and confusion count detections above this score; "
        f"default {COUNTED_THRESH:g}",
    )
    overlap = "VOC: a true positive overlaps by more than this; default 0.5"
    add("--iou", type=float, default=0.5, help=overlap)
    add("--json", type=new_file, metavar="FILE", help="write all digits of the scores")


def add_problem_option(parser: argparse.ArgumentParser) -> None:
    """Add `--on-problem`: whether inverted boxes stop a command that scores files."""
    parser.add_argument(
        "--on-problem",
        choices=("count", "stop"),
        default="count",
        help="inverted boxes: count and score them as the reference scorers do (default), or stop",
    )


def check_iou(iou_thresh: float) -> None:
    """Stop the command unless `--iou` is between 0 and 1."""
    if not 0 < iou_thresh < 1:
        stop(f"--iou {iou_thresh:g}: expected a number between 0 and 1")
