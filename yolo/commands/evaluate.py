"""Score a network on the valid list of a Darknet .data file: VOC07 and area mAP, COCO AP; for a classifier accuracy.

The ground truth is in the label files; difficult objects are ignored if the .data file has a list of them. Detections
are made as by Darknet's `detector map`: score above .005, NMS .45, images stretched unless the cfg has letter_box=1.

example:
  yolo-darknet evaluate --cfg yolov3-voc --weights voc/backup/yolov3-voc_best.weights --data voc/voc.data

--report DIR writes a page for any browser: metrics, curves, the errors with the highest cost and their images, and the
parts of the training loss, over 100 of the images.
--explain CLASS adds DIR/ap, a page that follows this class from its sorted detections to its average precision.
For a classifier: accuracy, confused classes, calibration, and maps of the places that raise a class (LayerCAM).
--metric all adds the metrics of other scorers for the same boxes, each with its conventions. Under torchrun each
process detects in a part of the images:
  torchrun --nproc-per-node 2 -m yolo evaluate --metric all --cfg ... --weights ... --data ...
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_line, command_parser
from yolo.console.numbers import speed_text
from yolo.console.option_types import fraction, new_file, new_folder, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_engine_options,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
    add_weights_option,
    add_workers_option,
    check_engine_options,
)
from yolo.console.run import stop
from yolo.data_file import check_classes, check_data_files, check_names, read_data
from yolo.defaults import COUNTED_THRESH, DEFAULT_ENGINE, DEFAULT_PRECISION
from yolo.errors import CfgError, DatasetError, counted
from yolo.files.outputs import refuse_texts_over
from yolo.files.writing import write_text
from yolo.names_file import read_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yolo.data.class_folders import ClassifiedImage
    from yolo.data.labeled_images import LabeledImage
    from yolo.data_file import DataFile
    from yolo.detect.classifier import Classifier
    from yolo.distributed import Processes
    from yolo.evaluate.analysis.report import LossReport
    from yolo.evaluate.metrics.all import AllMetrics
    from yolo.model.network import Network
    from yolo.records import Evaluation

METRICS, EVERYTHING = ("voc07", "area", "coco"), "all"
AP_FOLDER = "ap"  # in the folder of the report


@dataclass(frozen=True)
class ScoredInputs:
    """What is scored: class names, usable images, and how many images the weights were trained on."""

    names: list[str]
    images: Sequence[LabeledImage]
    seen: int


def main() -> None:
    args = _arguments()

    from yolo.distributed import device_of, process_group, processes_of
    from yolo.model.network import Network

    processes = processes_of(os.environ)
    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    with process_group(processes, device_of(processes, args.device)):
        if not network.heads:
            _score_classifier(args, network, processes)
            return
        given = _checked_inputs(args, network, processes.rank)
        evaluation = _evaluation(args, network, given, processes)
    if evaluation is not None:
        _print(args, network, given, evaluation)


def _score_classifier(args: argparse.Namespace, network: Network, processes: Processes) -> None:
    """Print the accuracy of a classifier, and write the files that the options ask for."""
    from yolo.detect.classifier import check_classifies
    from yolo.evaluate.accuracy import accuracy_table
    from yolo.evaluate.analysis.build_report import about_run
    from yolo.evaluate.analysis.json_records import json_text
    from yolo.explain.classifier.guesses import accuracy_of, guess_classes
    from yolo.explain.classifier.page import write_classifier_page
    from yolo.explain.classifier.report import classifier_report

    check_classifies(network, args.cfg)
    data = read_data(args.data)
    _check_classifier_options(args, data, network.classes)
    classifier, images = _classifier_and_images(args, data, network, processes)
    mine = guess_classes(classifier, processes.shard(images), args.batch, args.workers)
    guesses = processes.gather(mine, len(images))
    if guesses is None:
        return
    names, k = classifier.names, classifier.top
    print(accuracy_table(accuracy_of(names, images, guesses, k)))
    if not args.json and not args.report:
        return
    now = datetime.now().astimezone()
    about = about_run(command_line(), args.cfg, args.weights, args.data, now, data.name)
    report = classifier_report(names, images, guesses, k, about)
    if args.json:
        write_text(args.json, json_text(report))
        print(f"numbers: {args.json}")
    if args.report:
        print(f"report: {write_classifier_page(args.report, report, classifier)}")


def _check_classifier_options(args: argparse.Namespace, data: DataFile, classes: int) -> None:
    """Raise CfgError, DatasetError or OutputError for options and data that a classifier cannot be scored with."""
    from yolo.explain.classifier.report import CLASSIFIER_FILE
    from yolo.pages.page import check_page_folder

    for option, given in (
        ("--metric", args.metric), ("--save-results", args.save_results), ("--explain", args.explain),
        ("--engine", args.engine != DEFAULT_ENGINE), ("--precision", args.precision != DEFAULT_PRECISION),
    ):  # fmt: skip
        if given:
            raise CfgError(f"{args.cfg}: found a classifier, expected a detection head for {option}")
    if data.valid is None or data.names is None:
        raise DatasetError(f"{args.data}: expected the keys valid and names (or labels)")
    check_data_files(data, "names", "labels", "valid")
    check_classes(data, classes, args.cfg)
    refuse_texts_over([args.json], [args.cfg, args.weights, args.data, data.train, data.valid, data.names, data.labels])
    if args.report:
        check_page_folder(args.report, CLASSIFIER_FILE)


def _classifier_and_images(
    args: argparse.Namespace, data: DataFile, network: Network, processes: Processes
) -> tuple[Classifier, tuple[ClassifiedImage, ...]]:
    """Return the classifier with its weights, and the usable images of the valid set."""
    from yolo.data.class_folders import read_class_images, read_class_names
    from yolo.defaults import TOP_CLASSES
    from yolo.detect.classifier import Classifier
    from yolo.distributed import device_of
    from yolo.explain.classifier.report import unique_names
    from yolo.model.weights import load_weights

    load_weights(network, args.weights)
    names = unique_names(read_class_names(data.names, data.classes))
    labels = read_class_names(data.labels, data.classes)
    images = read_class_images(data.valid, labels, network.input.channels, args.on_problem == "skip")
    top = min(data.top or TOP_CLASSES, len(names))
    letterbox = args.letterbox or args.dialect == "pjreddie"
    return Classifier(network.to(device_of(processes, args.device)), names, top, letterbox), images


def _print(args: argparse.Namespace, network: Network, given: ScoredInputs, evaluation: Evaluation) -> None:
    """Print the metrics, and write the files that the options ask for."""
    from yolo.evaluate.metrics.all import all_metrics
    from yolo.evaluate.metrics.coco import coco_score
    from yolo.evaluate.metrics.conventions import average_precision_summary, everything_text, metrics_record
    from yolo.evaluate.metrics.voc import IOU_THRESH, voc_scores

    metrics = (args.metric,) if args.metric in METRICS else METRICS
    everything = None
    coco = coco_score(evaluation) if "coco" in metrics or args.report else None
    if args.metric == EVERYTHING or args.report:
        everything = all_metrics(evaluation, coco, IOU_THRESH, args.thresh)
    scores = everything.voc if everything else voc_scores(evaluation)
    text, content = average_precision_summary(evaluation.names, scores, coco, metrics, IOU_THRESH)
    print(text)
    if args.metric == EVERYTHING:
        print(everything_text(everything))
        content["all"] = metrics_record(everything)
    if args.save_results:
        _save_results(args.save_results, evaluation)
    if args.json:
        write_text(args.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
        print(f"numbers: {args.json}")
    if args.report:
        _write_report(args, network, given, evaluation, everything)
    if args.explain:
        from yolo.explain.score.page import explain_score
        from yolo.explain.score.scored_set import scored_evaluation
        from yolo.pages.page import PAGE_FILE

        scored = scored_evaluation(evaluation, [image.path for image in given.images])
        folder = args.report / AP_FOLDER
        print(f"explained: {explain_score(folder, scored, args.explain, IOU_THRESH, f'../{PAGE_FILE}')}")


def _save_results(folder: Path, evaluation: Evaluation) -> None:
    """Write the detections as VOC's results files."""
    from yolo.evaluate.metrics.voc import detections_in_voc_pixels
    from yolo.formats.voc_results import write_results

    files = write_results(folder, evaluation.names, evaluation.image_ids, detections_in_voc_pixels(evaluation))
    print(f"results: {counted(len(files), 'file')}, {files[0].parent}/comp4_det_test_CLASS.txt")


def _write_report(
    args: argparse.Namespace, network: Network, given: ScoredInputs, evaluation: Evaluation, everything: AllMetrics
) -> None:
    """Write the page of the report and its numbers."""
    from yolo.evaluate.analysis.build_report import about_run, build_report
    from yolo.evaluate.analysis.report import ReportRow
    from yolo.evaluate.html.report_page import write_report
    from yolo.evaluate.metrics.conventions import metric_rows
    from yolo.pages.page import PAGE_FILE

    now, data_name = datetime.now().astimezone(), read_data(args.data).name
    about = about_run(command_line(), args.cfg, args.weights, args.data, now, data_name)
    rows = [ReportRow(row.metric, row.value, row.conventions) for row in metric_rows(everything)]
    report = build_report(evaluation, [image.path for image in given.images], about, rows, args.thresh)
    report = replace(report, loss=_loss_report(args, network, given))
    explained = (args.explain, f"{AP_FOLDER}/{PAGE_FILE}") if args.explain else None
    print(f"report: {write_report(args.report, report, explained)}")


def _evaluation(
    args: argparse.Namespace, network: Network, given: ScoredInputs, processes: Processes
) -> Evaluation | None:
    """Detect in this process's part of the images. Return the evaluation of all images on rank 0, else None."""
    from yolo.detect.detector import Detector
    from yolo.distributed import device_of
    from yolo.evaluate.evaluator import detections_of, evaluation_of
    from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
    from yolo.quantize.engine_option import chosen_engine

    letterbox = args.letterbox or network.letterboxed
    network = network.to(device_of(processes, args.device))
    engine = chosen_engine(network, args.engine, args.precision, args.calibrate, letterbox)
    options = {"letterbox": letterbox, "engine": engine, "precision": args.precision}
    detector = Detector(network, given.names, MAP_SCORE_THRESH, MAP_NMS_THRESH, **options)
    start = time.perf_counter()
    mine = detections_of(detector, processes.shard(given.images), args.batch, args.workers)
    found = processes.gather(mine, len(given.images))
    if found is None:
        return None
    seconds = time.perf_counter() - start
    print(
        f"{counted(len(found), 'image')} in {seconds:.1f} s, {speed_text(len(found) / seconds)} images/s",
        file=sys.stderr,
    )
    return evaluation_of(given.names, given.images, found)


def _loss_report(args: argparse.Namespace, network: Network, given: ScoredInputs) -> LossReport | None:
    """Return the parts of the training loss."""
    from yolo.detect.detector import Detector
    from yolo.explain.loss_report import loss_report
    from yolo.train.losses.detection import DetectionLoss

    detector = Detector(network, given.names, letterbox=args.letterbox or network.letterboxed)
    options = {"seen": given.seen, "batch": args.batch, "workers": args.workers, "run": args.weights.parent}
    return loss_report(detector, DetectionLoss(network, args.dialect), given.images, **options)


def _checked_inputs(args: argparse.Namespace, network: Network, rank: int) -> ScoredInputs:
    """Load the weights, run all checks that are possible before the work, and return the inputs of the scores."""
    from yolo.model.weights import load_weights

    data = read_data(args.data)
    if data.valid is None or data.names is None:
        raise DatasetError(f"{args.data}: expected the keys valid and names")
    check_data_files(data, "names", "labels", "valid", "difficult")
    names = list(read_classes(data.names))
    _check_outputs(args, data, names)
    seen = load_weights(network, args.weights).seen
    check_names(data, names)
    check_classes(data, network.classes, args.cfg)
    images = _usable_images(args, data, network, rank)
    if args.save_results:
        _check_results_names(data.valid, names, [image.path.stem for image in images])
        args.save_results.mkdir(parents=True, exist_ok=True)  # fail before the work, not after it
    if args.report:
        args.report.mkdir(parents=True, exist_ok=True)
    return ScoredInputs(names, images, seen)


def _check_outputs(args: argparse.Namespace, data: DataFile, names: Sequence[str]) -> None:
    """Raise an error if --json, --report or --explain would replace other files, or names an unknown class."""
    from yolo.evaluate.html.report_page import REPORT_FILE
    from yolo.pages.page import check_page_folder

    read = [args.cfg, args.weights, args.data, data.train, data.valid, data.names, data.difficult]
    refuse_texts_over([args.json], read)
    if args.report:
        check_page_folder(args.report, REPORT_FILE)
    if args.explain:
        from yolo.explain.score.page import NUMBERS_FILE
        from yolo.explain.score.walked_score import class_number

        class_number(args.explain, names)
        check_page_folder(args.report / AP_FOLDER, NUMBERS_FILE)


def _usable_images(args: argparse.Namespace, data: DataFile, network: Network, rank: int) -> Sequence[LabeledImage]:
    """Check the valid list, print its problems once, and return its usable images."""
    from yolo.data.check import check_list, problem_lines, stopping

    checked = check_list(data.valid, network.classes, network.input.channels, data.difficult, args.recheck)
    if rank == 0:
        for line in problem_lines(checked.problems):
            print(line)
    serious = stopping(checked.problems)
    if serious and args.on_problem == "stop":
        found = f"{counted(len(serious), 'problem')}, the first: {serious[0].message}"
        raise DatasetError(f"{data.valid}: found {found}; --on-problem skip leaves them out")
    if not checked.images:
        raise DatasetError(f"{data.valid}: found no usable image")
    return checked.images


def _check_results_names(valid: Path, names: list[str], stems: list[str]) -> None:
    """Raise DatasetError if names cannot be used: comp4 files name images without folder and ending, and are named
    by class."""
    repeated = [stem for stem, count in Counter(stems).items() if count > 1]
    if repeated:
        raise DatasetError(
            f"{valid}: found {counted(len(repeated), 'name')} twice, such as {repeated[0]}, "
            "expected each once for --save-results"
        )
    from yolo.formats.voc_results import fits_file_name

    unfit = [name for name in names if not fits_file_name(name)]
    if unfit:
        raise DatasetError(
            f"found class name {unfit[0]!r}, expected one that can be part of a file's name for --save-results"
        )


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add_cfg_option(parser)
    add_weights_option(parser)
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--metric", choices=(*METRICS, EVERYTHING), help="default: voc07, area and coco")
    add(
        "--thresh", type=fraction, default=COUNTED_THRESH, metavar="SCORE",
        help="for --metric all and --report: lowest score for precision, recall and confusion; "
        f"default {COUNTED_THRESH:g}",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="keep the aspect ratio of images, as in pjreddie's Darknet")
    add("--save-results", type=new_folder, metavar="DIR", help="write comp4_det_test_CLASS.txt files")
    add("--report", type=new_folder, metavar="DIR", help="write index.html and report.json")
    add("--explain", metavar="CLASS", help="with --report: explain the average precision of this class in DIR/ap")
    add("--json", type=new_file, metavar="FILE", help="write the metrics with all digits")
    add(
        "--on-problem", choices=("skip", "stop"), default="skip",
        help="for broken images and labels: leave them out and list them (default), or stop",
    )  # fmt: skip
    add_recheck_option(parser)
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_device_option(parser)
    add_engine_options(parser)
    add("--batch", type=whole_number(1), default=8, metavar="N", help="images at a time; default 8")
    add_workers_option(parser)
    args = parser.parse_args()
    check_engine_options(parser, args)
    if args.explain and not args.report:
        stop("found --explain without --report, expected both")
    return args
