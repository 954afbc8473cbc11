"""Score results files in VOC's format (comp4_det_test_<class>.txt) against VOC annotations.

Example, for the files that `tools/evaluate.py --save-results results` or Darknet's `detector valid`
wrote:

    tools/score_voc.py results --annotations VOCdevkit/VOC2007/Annotations \\
        --imageset VOCdevkit/VOC2007/ImageSets/Main/test.txt --plot curves.png

The classes are those of the annotations and of the results files. voc07 is the 11-point average
precision that is reported for VOC2007, area the one of VOC2010 and later; without --metric both are
printed. --metric all adds what other scorers make of the same boxes, each with its conventions:
Darknet's `detector map`, COCO, precision and recall at a threshold.
"""

import argparse
import json
from pathlib import Path

from yolo.console import new_file, run, share, stop
from yolo.evaluate.metrics.darknet import COUNTED_THRESH
from yolo.evaluate.metrics.table import (
    average_precisions,
    class_table,
    mean_line,
    plot_curves,
    summary,
)
from yolo.evaluate.metrics.voc import VOC_PIXEL_EXTENT, score_classes
from yolo.files import write_text
from yolo.formats.voc_results import evaluation_of_files, read_results, results_names
from yolo.formats.voc_xml import VocGroundTruth, read_ground_truth, read_image_set
from yolo.progress import progress
from yolo.records import ScoredBoxes

METRICS, EVERYTHING = ("voc07", "area"), "all"
PLOT_SUFFIXES = (".png", ".pdf", ".svg")


def main() -> None:
    arguments = parse_arguments()
    metrics = (arguments.metric,) if arguments.metric in METRICS else METRICS
    found, detections = read(arguments)
    names, ground_truth = found.names, found.ground_truth
    scores = score_classes(ground_truth, detections, len(names), arguments.iou, VOC_PIXEL_EXTENT)
    values = {metric: average_precisions(scores, metric) for metric in metrics}
    ground_truths = [score.match.ground_truths for score in scores]
    print(class_table(names, ground_truths, [score.match.detections for score in scores], values))
    print(mean_line(values))
    content = summary(names, arguments.iou, values)
    if arguments.metric == EVERYTHING:
        text, content["all"] = everything(found, detections, arguments)
        print(text)
    if arguments.json:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(arguments.json, text + "\n")
        print(f"scores written to {arguments.json}")
    if arguments.plot:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        plot_curves(arguments.plot, names, scores, metrics[-1], arguments.iou)
        print(f"curves written to {arguments.plot}")


def everything(
    found: VocGroundTruth, detections: ScoredBoxes, arguments: argparse.Namespace
) -> tuple[str, dict]:
    """All metrics, as text and for json."""
    # Imported here: pycocotools alone takes a third of the time of scoring VOC2007 test without it
    from yolo.evaluate.metrics.all import all_metrics
    from yolo.evaluate.metrics.coco import coco_score
    from yolo.evaluate.metrics.conventions import everything_text, metrics_record

    evaluation = evaluation_of_files(found, detections)
    coco = coco_score(evaluation)
    metrics = all_metrics(evaluation, coco, arguments.iou, arguments.thresh)
    return everything_text(metrics), metrics_record(metrics)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", metavar="RESULTS_DIR", type=Path, help="folder of results files")
    parser.add_argument(
        "--annotations", metavar="DIR", type=Path, required=True, help="folder of XML annotations"
    )
    parser.add_argument(
        "--imageset", metavar="FILE", type=Path, required=True, help="image names, one a line"
    )
    parser.add_argument("--metric", choices=(*METRICS, EVERYTHING), help="default: voc07 and area")
    parser.add_argument(
        "--iou", type=float, default=0.5, help="a hit overlaps by more than this; default: 0.5"
    )
    parser.add_argument(
        "--thresh",
        type=share,
        default=COUNTED_THRESH,
        help=f"of --metric all: precision, recall, confusion above this score; default {COUNTED_THRESH:g}",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=new_file, help="write all digits of the scores"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=new_file,
        help="plot precision over recall: .png, .pdf or .svg",
    )
    arguments = parser.parse_args()
    if not 0 < arguments.iou < 1:
        stop(f"--iou {arguments.iou:g}: expected a number between 0 and 1")
    if arguments.plot and arguments.plot.suffix.lower() not in PLOT_SUFFIXES:
        stop(f"--plot {arguments.plot}: expected a name ending in {', '.join(PLOT_SUFFIXES)}")
    return arguments


def read(arguments: argparse.Namespace) -> tuple[VocGroundTruth, ScoredBoxes]:
    """Ground truth and detections, in VOC's pixels. A class with something to find needs a results file."""
    image_ids = read_image_set(arguments.imageset)
    found = read_ground_truth(
        arguments.annotations,
        progress(image_ids, "annotations"),
        more_names=results_names(arguments.results),
    )
    to_find = {
        found.names[label]
        for label in found.ground_truth.labels[~found.ground_truth.difficult].tolist()
    }
    detections = read_results(
        arguments.results, found.names, found.image_ids, optional=set(found.names) - to_find
    )
    return found, detections


if __name__ == "__main__":
    run(main)
