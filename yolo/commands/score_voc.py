"""Score result files in VOC's format (comp4_det_test_<class>.txt) against VOC annotations.

The classes are those of the annotations and of the results files. voc07 is the 11-point average
precision that is reported for VOC2007, area the one of VOC2010 and later; without --metric both are
printed. --metric all adds the results of other scorers for the same boxes, each with its
conventions: Darknet's `detector map`, COCO, precision and recall at a threshold.

example, for the files that `evaluate --save-results results` or Darknet's `detector valid` has written:
  yolo-darknet score_voc results --annotations VOCdevkit/VOC2007/Annotations \\
      --imageset VOCdevkit/VOC2007/ImageSets/Main/test.txt --plot curves.png

--explain CLASS --report DIR writes a page that follows one class from its sorted detections to its average precision.
"""

import argparse
from pathlib import Path

from yolo.commands.score import (
    add_explain_options,
    add_problem_option,
    add_threshold_options,
    check_explain_options,
    check_explanation,
    check_iou,
    print_remarks,
    print_scores,
    write_explanation,
)
from yolo.console.command_line import command_parser
from yolo.console.option_types import new_file
from yolo.console.options import check_ending
from yolo.files.chart_file import CHART_ENDINGS
from yolo.files.outputs import refuse_charts_over, refuse_texts_over
from yolo.formats.recognition import DetectionFormat, GroundTruthFormat

METRICS = ("voc07", "area")


def main() -> None:
    args = _arguments()

    from yolo.evaluate.pairing import Sources, read_pair

    metrics = (args.metric,) if args.metric in METRICS else METRICS
    inputs = args.results, args.annotations, args.imageset
    refuse_texts_over([args.json], inputs)
    refuse_charts_over([args.plot], inputs)
    voc, comp4 = GroundTruthFormat.VOC, DetectionFormat.COMP4
    pair = read_pair(Sources(args.annotations, voc, args.results, comp4, args.imageset))
    print_remarks(pair, args.on_problem == "stop")
    if args.explain:
        check_explanation(pair, args.explain, args.report)
    everything = args.metric == "all"
    scores = print_scores(pair, metrics, everything, args.iou, args.thresh, args.json)
    if args.plot:
        from yolo.evaluate.metrics.table import plot_curves

        args.plot.parent.mkdir(parents=True, exist_ok=True)
        plot_curves(args.plot, pair.ground_truth_set.names, scores, metrics[-1], args.iou)
        print(f"curves written to {args.plot}")
    if args.explain:
        write_explanation(pair, args.annotations, args)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("results", metavar="RESULTS_DIR", type=Path, help="folder of result files")
    add("--annotations", metavar="DIR", type=Path, required=True, help="folder of XML annotations")
    add("--imageset", metavar="FILE", type=Path, required=True, help="image names, one a line")
    add("--metric", choices=(*METRICS, "all"), help="default: voc07 and area")
    add_threshold_options(parser)
    add_problem_option(parser)
    plot = "plot precision over recall: .png, .svg, .pdf or .jpg"
    add("--plot", metavar="FILE", type=new_file, help=plot)
    add_explain_options(parser)
    args = parser.parse_args()
    check_iou(args.iou)
    check_explain_options(args)
    check_ending("--plot", args.plot, CHART_ENDINGS)
    return args
