"""Detect objects in images, videos, streams and cameras: print, draw (--out) or write them (--json, --csv ...).

SOURCE is an image, a video, a folder, a quoted pattern ('photos/*.jpg'), a list (list.txt), numbered frames
(frame%05d.png), an address (rtsp://, http://), the number of a camera (0), or - for an image or a list on stdin.

example, as Darknet's `detector test coco.data yolov3.cfg yolov3.weights dog.jpg`:
  yolo-darknet detect --cfg yolov3 --weights weights/yolov3.weights --names coco dog.jpg --out out

example of a video, annotated as out/street.mp4, with a line of JSON for each frame:
  yolo-darknet detect --cfg yolov3 --weights weights/yolov3.weights --names coco street.mp4 --save-video --out out \\
      --jsonl out/street.jsonl

example of a long list on two GPUs: rows in out/part-000000.jsonl ..., and a restart skips complete parts:
  torchrun --nproc-per-node 2 -m yolo detect --cfg yolov3 --weights weights/yolov3.weights --names coco list.txt \\
      --out out
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from yolo.console.command_line import command_parser, files_first
from yolo.console.option_types import fraction, new_file, new_folder, whole_number
from yolo.console.options import (
    OptionGroup,
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_engine_options,
    add_max_pixels_option,
    add_names_option,
    add_set_option,
    add_weights_option,
    check_engine_options,
    check_one_network,
)
from yolo.console.progress import progress
from yolo.console.run import ended_as_by_ctrl_c
from yolo.defaults import DEFAULT_ENGINE, DEFAULT_PRECISION, NMS_THRESH, SCORE_THRESH
from yolo.errors import DatasetError, counted
from yolo.files.outputs import refuse_over_inputs, refuse_texts_over

if TYPE_CHECKING:
    from yolo.detect.detector import Detector
    from yolo.detect.outputs.result import Result
    from yolo.detect.shards import Shard
    from yolo.detect.sources.frame import Fault
    from yolo.detect.sources.kinds import MediaSource
    from yolo.detect.views import ViewPlan

LABEL_FORMATS = ("yolo", "voc", "coco")
WRITE_BEHIND = 8  # frames that wait to be drawn and written
COORDINATE = r"-?\d+(?:\.\d+)?"  # of --count-line, in pixels
LARGEST_OVERLAP = 0.9  # of neighboring tiles: more would need too many of them
PART_KINDS = ("jsonl", "parquet")
NOT_IN_PARTS = ("json", "jsonl", "csv", "crops", "save_labels", "save_video", "track")  # outputs of one process
SAME_ROWS = ("source", "out", "device", "batch", "shard", "part_size")  # a restart may change these


def main() -> None:
    args = _arguments()
    shard = _shard(args.shard)
    if shard is not None:
        _detect_shard(args, shard)
        return

    from yolo.detect.outputs.writers import Wanted, Writers
    from yolo.detect.pipeline import Behind
    from yolo.detect.sources.kinds import expand
    from yolo.detect.track import SourceTracks

    sources = expand(args.source, args.recursive)
    _check(args, sources)
    wanted = Wanted(args.out, args.json, args.jsonl, args.csv, args.crops, args.save_labels, args.save_video)
    new_tracks = None
    if args.track:
        new_tracks = partial(SourceTracks, args.thresh, args.every, args.count_line)
        new_tracks()  # an error where the package is not installed, before the network is loaded
    detector, _ = _detector(args, args.device)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    to_stdout = args.jsonl is not None and str(args.jsonl) == "-"
    print_line = partial(print, file=sys.stderr if to_stdout else sys.stdout)
    interrupted = False
    with ended_as_by_ctrl_c(), ExitStack() as stack:
        passes = _passes(args, detector, sources)
        writers = Writers(wanted, detector.names, sources, new_tracks, print_line, stack, passes.together)
        behind = stack.enter_context(closing(Behind(writers.write, WRITE_BEHIND)))
        try:
            for item in stack.enter_context(closing(_results(args, detector, sources, passes))):
                behind.put(item)
        except KeyboardInterrupt:  # how a camera ends: the outputs are finished and kept
            interrupted = True
        behind.finish()
        writers.finish(complete=not interrupted or writers.moving)
    writers.print_written()
    if interrupted:
        raise KeyboardInterrupt
    _raise_faults(writers.faults, sources)


def _shard(given: tuple[int, int] | None) -> Shard | None:
    """Return the part of this process: that of --shard, divided among the processes of torchrun."""
    alone = not all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if given is None and alone:
        return None

    from yolo.detect.shards import Shard
    from yolo.distributed import processes_of

    number, count = given or (0, 1)
    processes = processes_of(os.environ)
    return Shard(number % count * processes.world + processes.rank, count * processes.world)


def _detect_shard(args: argparse.Namespace, shard: Shard) -> None:
    """Write a shard of a list, unless another process does."""
    from yolo.detect.shards import alone_in_shard

    listed = _list_of(args)
    with alone_in_shard(args.out, shard):
        _write_missing_parts(args, shard, listed)


def _write_missing_parts(args: argparse.Namespace, shard: Shard, listed: Path) -> None:
    """Detect in the images of this process's parts of a list, and write the missing parts."""
    from yolo.detect.outputs.manifest import agreed_manifest, digest_of, part_size_for
    from yolo.detect.outputs.parts import Parts
    from yolo.detect.overlapped import detect_items, flights_for
    from yolo.detect.shards import shard_images, write_shard
    from yolo.distributed import device_of, processes_of

    detector, names = _detector(args, str(device_of(processes_of(os.environ), args.device)))
    parts = Parts(args.out, args.parts)
    digest = digest_of(listed)
    wanted = {"list": digest.sha256, **_deciding(vars(args) | {"names": names})}
    default = part_size_for(digest.lines, shard.count)
    size = agreed_manifest(args.out, wanted, args.part_size, default)
    numbers = [part for part in range(-(-digest.lines // size)) if shard.has(part)]
    complete = sum(map(parts.is_complete, numbers))
    print(f"{shard}: {counted(len(numbers), 'part')} of {counted(size, 'line')}, {complete} complete", flush=True)
    images = shard_images(listed, shard, size, parts.is_complete)
    plan = _view_plan(args, detector)
    flights = flights_for(detector, None, live=False)
    detect = partial(detect_items, detector, plan=plan, batch=args.batch, flights=flights)
    unreadable = 0
    with closing(write_shard(images, detector.network.input.channels, detect, detector.names, parts)) as written:
        for done in written:
            unreadable += done.errors
            errors = f", {done.errors} not readable" if done.errors else ""
            print(
                f"{parts.path(done.part)}: {counted(done.images, 'image')}, {counted(done.objects, 'object')}{errors}",
                flush=True,
            )
    remark = f"; {counted(unreadable, 'image')} could not be read, see `error` in their rows" if unreadable else ""
    print(f"{shard}: complete{remark}", flush=True)


def _list_of(args: argparse.Namespace) -> Path:
    """Return the list of images that is divided into shards. Raises DatasetError for anything else."""
    if len(args.source) != 1 or not Path(args.source[0]).is_file():
        found = args.source[0] if len(args.source) == 1 else counted(len(args.source), "source")
        raise DatasetError(f"{found}: found no list, expected one text file with one image a line")
    if not args.out:
        raise DatasetError("found no --out, expected a folder for the parts of the list")
    for option in NOT_IN_PARTS:
        if getattr(args, option):
            name = option.replace("_", "-")
            raise DatasetError(f"--{name}: found with a list that is divided into shards, expected --out alone")
    from yolo.formats.label_files import list_lines

    listed = Path(args.source[0])
    if next(iter(list_lines(listed)), None) is None:
        raise DatasetError(f"{listed}: found no image, expected one path a line")
    return listed


def _deciding(options: dict) -> dict:
    """Return the settings, besides the list, that change the rows: digests of files, and values of options."""
    from yolo.detect.outputs.manifest import digest_of

    values = {name: value for name, value in sorted(options.items()) if name not in SAME_ROWS}
    digests = {name: digest_of(value).sha256 for name, value in values.items() if isinstance(value, Path)}
    return json.loads(json.dumps(values | digests))


class Passes(NamedTuple):
    """How frames pass through the network: their number if known, images of a batch, batches at the same time."""

    frames: int | None
    plan: ViewPlan
    batch: int
    flights: int

    @property
    def together(self) -> int:
        """Return how many frames have their results at the same time; with several views, each has its own."""
        return self.batch * self.flights if self.plan.is_plain else 1


def _passes(args: argparse.Namespace, detector: Detector, sources: list[MediaSource]) -> Passes:
    from yolo.detect.overlapped import flights_for
    from yolo.detect.sources.reader import Selection, number_of_frames

    plan = _view_plan(args, detector)
    live = any(each.is_live for each in sources)
    frames = number_of_frames(sources, Selection(args.every, args.max_frames))
    return Passes(frames, plan, 1 if live else args.batch, flights_for(detector, frames, live))


def _results(
    args: argparse.Namespace, detector: Detector, sources: list[MediaSource], passes: Passes
) -> Iterator[Result | Fault]:
    from yolo.detect.overlapped import detect_items
    from yolo.detect.sources.reader import Selection, read_sources
    from yolo.detect.sources.streams import Patience

    stop = Event()
    channels = detector.network.input.channels
    items = read_sources(sources, channels, Selection(args.every, args.max_frames), Patience(), stop)
    with closing(detect_items(detector, items, passes.plan, passes.batch, stop, passes.flights)) as results:
        yield from progress(results, "detecting", passes.frames)


def _view_plan(args: argparse.Namespace, detector: Detector) -> ViewPlan:
    """Return the views of each image; --tta only mirrors it for networks that compute one input size."""
    from yolo.detect.views import ViewPlan, tta_sizes

    if not args.tta:
        return ViewPlan(args.tile, args.overlap)
    height, width = own = (detector.network.input.height, detector.network.input.width)
    sizes = tta_sizes(detector.network) if args.model is None else (own,)
    if sizes == (own,):
        remark = f"--tta: {args.model or args.cfg} computes only its own input size, {width}x{height}"
        print(f"{remark}: images are mirrored, not scaled", file=sys.stderr)
    return ViewPlan(args.tile, args.overlap, mirrored=True, sizes=sizes)


def _detector(args: argparse.Namespace, device: str) -> tuple[Detector, Path | None]:
    """Return the detector, and its file of names; None if the names are those in a file of `yolo-darknet export`."""
    if args.model is None:
        return _network_detector(args, device)
    return _exported_detector(args), args.names


def _exported_detector(args: argparse.Namespace) -> Detector:
    """Return the detector of a file of `yolo-darknet export`: its names and its input are in the file."""
    from yolo.deploy.exported import open_detector

    return open_detector(args.model, args.names, args.thresh, args.nms, args.letterbox)


def _network_detector(args: argparse.Namespace, device: str) -> tuple[Detector, Path]:
    """Return the detector of a cfg and its weights, and its file of names, which is looked for without --names."""
    from yolo.quantize.engine_option import NetworkOptions, open_darknet_detector

    how = args.engine, args.precision, device, args.dialect, args.letterbox, args.calibrate, tuple(args.overrides)
    thresholds = args.thresh, args.nms
    detector, names = open_darknet_detector(args.cfg, args.weights, args.names, NetworkOptions(*how), thresholds)
    if args.names is None:
        print(f"names: {names}", file=sys.stderr)
    return detector, names


def _check(args: argparse.Namespace, sources: list[MediaSource]) -> None:
    """Raise an error if an output would replace an input, if it cannot be made, or if a package is missing."""
    from yolo.detect.outputs.writers import stems_of
    from yolo.detect.sources.kinds import MediaKind
    from yolo.detect.sources.video import import_av
    from yolo.formats.label_files import label_files

    only_images = all(each.kind is MediaKind.IMAGE for each in sources)
    if args.save_video and only_images:
        raise DatasetError("--save-video: found only images, expected a video or numbered frames")
    if args.save_video or any(each.kind is MediaKind.VIDEO for each in sources):
        import_av()
    moving = (MediaKind.VIDEO, MediaKind.NUMBERED, MediaKind.STREAM, MediaKind.CAMERA)
    if args.out and not (args.save_video or args.save_labels) and any(each.kind in moving for each in sources):
        print("--out: only images are drawn; --save-video also writes videos with boxes", file=sys.stderr)
    files = [Path(each.name) for each in sources if each.kind in (MediaKind.IMAGE, MediaKind.VIDEO)]
    given = [path for path in (args.cfg, args.weights, args.names, args.model) if path is not None]
    refuse_texts_over([args.json, args.csv, args.jsonl], [*given, *files, *map(Path, args.source)])
    copies = []
    endings = {MediaKind.IMAGE: ".png"} | ({MediaKind.VIDEO: ".mp4"} if args.save_video else {})
    stems = stems_of(sources)
    for each in sources if args.out else ():
        if each.kind in endings:
            copy = args.out / f"{stems.of_source(each.name)}{endings[each.kind]}"
            copies.append(copy)
        if args.save_labels and each.kind is MediaKind.IMAGE:
            own = args.out / "labels" / f"{stems.of_source(each.name)}.txt"
            if own.resolve() in {path.resolve() for path in label_files(Path(each.name))}:
                raise DatasetError(f"{own}: found the labels of {each.name}, expected an --out without them")
    refuse_over_inputs(copies, files)


def _raise_faults(faults: list[str], sources: list[MediaSource]) -> None:
    from yolo.detect.sources.kinds import MediaKind

    if not faults:
        return
    first = "; ".join(faults[:3])
    if all(each.kind is MediaKind.IMAGE for each in sources):
        first = f"{len(faults)} of {len(sources)} images could not be read: {first}"
    elif len(faults) > 3:
        first = f"{len(faults)} faults in the sources: {first}"
    raise DatasetError(first)


def _count_line(text: str) -> tuple[float, float, float, float]:
    """A type for argparse: x1,y1,x2,y2, with or without spaces; a point may lie outside the image."""
    number = rf"\s*{COORDINATE}\s*"
    if not re.fullmatch(rf"{number}(,{number}){{3}}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected four numbers x1,y1,x2,y2")
    x1, y1, x2, y2 = map(float, text.split(","))
    if (x1, y1) == (x2, y2):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two different points")
    return x1, y1, x2, y2


def _joined_line(arguments: Sequence[str]) -> list[str]:
    """Return a command line with `--count-line=X1,Y1,X2,Y2` for four numbers that are separate words.

    argparse would take the numbers after the first one for sources, and a number below 0 for an option.
    """
    line = list(arguments)
    end = line.index("--") if "--" in line else len(line)
    if "--count-line" in line[:end]:
        at = line.index("--count-line")
        numbers = line[at + 1 : at + 5]
        count = 4 if all(re.fullmatch(rf"{COORDINATE},?", word, re.ASCII) for word in numbers) else 1
        line[at : at + 1 + count] = ["--count-line=" + ",".join(word.removesuffix(",") for word in numbers[:count])]
    return line


def _shard_numbers(text: str) -> tuple[int, int]:
    """A type for argparse: I/N, two numbers."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII)
    if not match or not (int(match[2]) > 0 and int(match[1]) <= int(match[2])):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected I/N, such as 1/8: I from 1 to N")
    return int(match[1]), int(match[2])


def _overlap(text: str) -> float:
    """A type for argparse: a number from 0 to LARGEST_OVERLAP."""
    if fraction(text) > LARGEST_OVERLAP:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected at most {LARGEST_OVERLAP}")
    return fraction(text)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    _add_network_options(parser)
    _add_source_options(parser.add_argument_group("sources"))
    _add_output_options(parser.add_argument_group("outputs"))
    _add_part_options(parser.add_argument_group("long lists, also under torchrun"))
    _add_tile_and_track_options(parser.add_argument_group("small objects, tracking"))
    args = parser.parse_args(files_first(_joined_line(sys.argv[1:])))
    others = {"--engine": args.engine != DEFAULT_ENGINE, "--precision": args.precision != DEFAULT_PRECISION}
    check_one_network(parser, args, others)
    check_engine_options(parser, args)
    for option, given in (("--save-video", args.save_video), ("--save-labels", args.save_labels)):
        if given and not args.out:
            parser.error(f"argument {option}: expected --out DIR, too")
    args.track |= args.count_line is not None
    return args


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the sources, and the options for the network and its computation."""
    add = parser.add_argument
    add("source", nargs="+", metavar="SOURCE", help="images, videos and more, see above")
    add_cfg_option(parser, required=False)
    add_weights_option(parser, required=False)
    add_names_option(parser)
    add(
        "--model", type=Path, metavar="FILE",
        help="a file of `yolo-darknet export`, instead of --cfg and --weights; a .pt2 or .torchscript can run any "
        "code, so only use ones that you trust",
    )  # fmt: skip
    add(
        "--thresh", type=fraction, default=SCORE_THRESH, metavar="T",
        help=f"lowest score of a detection; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add(
        "--nms", type=fraction, default=NMS_THRESH, metavar="T",
        help=f"NMS: highest IoU of two boxes of a class; default {NMS_THRESH:g}",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="keep the aspect ratio of images, as in pjreddie's Darknet")
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_device_option(parser)
    add_engine_options(parser)


def _add_source_options(group: OptionGroup) -> None:
    """Add the options for which images and frames are read."""
    add = group.add_argument
    one = whole_number(1)
    add("--recursive", action="store_true", help="also read the subfolders of folders")
    add("--every", type=one, default=1, metavar="N", help="use every N-th frame of videos, streams")
    add("--max-frames", type=one, metavar="N", help="use at most N frames of videos, streams")
    add("--batch", type=one, default=1, metavar="N", help="images per pass of the network")


def _add_output_options(group: OptionGroup) -> None:
    """Add the options for what is written."""
    add = group.add_argument
    add("--out", type=new_folder, metavar="DIR", help="write copies of the images with boxes there")
    add("--save-video", action="store_true", help="write videos with boxes to --out (H.264, MP4)")
    add("--json", type=new_file, metavar="FILE", help="write the detections as Darknet's json")
    add("--jsonl", type=new_file, metavar="FILE", help="write JSON lines, one a frame; - for stdout")
    add("--csv", type=new_file, metavar="FILE", help="write a row for each object")
    add("--crops", type=new_folder, metavar="DIR", help="write each object's pixels as DIR/CLASS/NAME.png")
    add(
        "--save-labels", choices=LABEL_FORMATS,
        help="write labels to --out, to correct by hand and to train on",
    )  # fmt: skip


def _add_part_options(group: OptionGroup) -> None:
    """Add the options for a list that several processes share."""
    add = group.add_argument
    add(
        "--shard", type=_shard_numbers, metavar="I/N",
        help="only the I-th of N parts of a list, I from 1 to N (0 is N); rows go to --out, no images",
    )  # fmt: skip
    add("--parts", choices=PART_KINDS, default=PART_KINDS[0], help="kind of file; parquet needs the extra `parquet`")
    add(
        "--part-size", type=whole_number(1), metavar="LINES",
        help="lines of the list in a file; default: 1000, fewer for short lists",
    )  # fmt: skip


def _add_tile_and_track_options(group: OptionGroup) -> None:
    """Add the options for tiles, mirrored and scaled copies, and tracks."""
    add = group.add_argument
    add("--tile", type=whole_number(32), metavar="SIZE", help="also detect in tiles of SIZE pixels")
    add("--overlap", type=_overlap, default=0.2, metavar="F", help="of the tiles; default 0.2")
    add("--tta", action="store_true", help="also detect in mirrored and scaled copies")
    add("--track", action="store_true", help="number the objects of a video (extra `track`)")
    add("--count-line", type=_count_line, metavar="X1,Y1,X2,Y2", help="count objects crossing it; implies --track")
