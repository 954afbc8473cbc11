"""Detect objects in images, videos, streams and cameras: boxes drawn into copies in --out, numbers printed or written.

SOURCE is an image, a video, a folder, a quoted pattern ('photos/*.jpg'), a list (list.txt), numbered frames
(frame%05d.png), an address (rtsp://, http://), the number of a camera (0), or - for an image or a list on stdin.

example, as Darknet's `detector test coco.data yolov3.cfg yolov3.weights dog.jpg`:
  python tools/detect.py --cfg cfg/yolov3.cfg --weights weights/yolov3.weights --names data/coco.names dog.jpg --out out
a video, annotated as out/street.mp4, its detections as JSON lines:
  python tools/detect.py --cfg cfg/yolov3.cfg --weights weights/yolov3.weights --names data/coco.names street.mp4 \\
      --save-video --out out --jsonl out/street.jsonl
"""

import argparse
import re
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from yolo.cfg import read_names
from yolo.console import (
    add_device_option,
    add_dialect_option,
    add_set_option,
    new_file,
    share,
    whole_number,
)
from yolo.detect.detector import NMS_THRESH, SCORE_THRESH, Detector
from yolo.detect.outputs.annotated import Videos, annotated
from yolo.detect.outputs.images import Crops, write_png
from yolo.detect.outputs.labels import LABEL_FORMATS, LabelFiles
from yolo.detect.outputs.naming import Stems
from yolo.detect.outputs.result import Result
from yolo.detect.outputs.rows import STDOUT, csv_table, json_lines
from yolo.detect.overlapped import detect_items
from yolo.detect.pipeline import Behind
from yolo.detect.sources.frame import Fault
from yolo.detect.sources.kinds import MediaKind, MediaSource, expand
from yolo.detect.sources.reader import Selection, read_sources
from yolo.detect.sources.streams import Patience
from yolo.detect.sources.video import import_av, video_length
from yolo.detect.track import Line, SourceTracks
from yolo.detect.views import ViewPlan
from yolo.errors import CfgError, DatasetError
from yolo.files import write_text
from yolo.formats.darknet_json import Frame, darknet_json
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.weights import load_weights
from yolo.progress import progress

WRITE_BEHIND = 8  # frames that wait to be drawn and written

LARGEST_OVERLAP = 0.9  # of tiles: more would make their number explode


def main() -> None:
    args = _arguments()
    sources = expand(args.source, args.recursive)
    stems = Stems(Path(each.name) for each in sources if each.kind is MediaKind.IMAGE)
    _check_outputs(args, sources, stems)
    if args.save_video or any(each.kind is MediaKind.VIDEO for each in sources):
        import_av()  # before the network is loaded
    if args.track:
        SourceTracks(args.thresh, args.every, args.count_line)
    detector = _detector(args)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    interrupted = False
    with ExitStack() as stack:
        outputs = _Outputs(args, detector.names, stems, sources, stack)
        behind = stack.enter_context(closing(Behind(outputs.write, WRITE_BEHIND)))
        try:
            for item in stack.enter_context(closing(_results(args, detector, sources))):
                behind.put(item)
        except KeyboardInterrupt:
            interrupted = True
        behind.finish()
        outputs.finish(complete=not interrupted or outputs.moving)
    outputs.print_written()
    if interrupted:
        raise KeyboardInterrupt
    _raise_faults(outputs.faults, sources)


def _results(args: argparse.Namespace, detector: Detector, sources: list[MediaSource]):
    stop = Event()
    selection = Selection(args.every, args.max_frames)
    channels = detector.network.input.channels
    items = read_sources(sources, channels, selection, Patience(), stop)
    plan = ViewPlan(args.tile, args.overlap, args.tta)
    batch = 1 if any(each.is_live for each in sources) else args.batch
    with closing(detect_items(detector, items, plan, batch, stop)) as results:
        yield from progress(results, "detecting", _total(sources, selection))


def _total(sources: list[MediaSource], selection: Selection) -> int | None:
    """How many frames there will be; None where a source does not say."""
    total = 0
    for source in sources:
        if source.kind is MediaKind.IMAGE:
            total += 1
        elif source.kind is MediaKind.VIDEO and (frames := video_length(source.name)):
            chosen = -(-frames // selection.every)
            total += chosen if selection.max_frames is None else min(chosen, selection.max_frames)
        else:
            return None
    return total


class _Outputs:
    """What the options ask to be written about each frame, in the order of the frames."""

    def __init__(
        self,
        args: argparse.Namespace,
        names: tuple[str, ...],
        stems: Stems,
        sources: list[MediaSource],
        stack: ExitStack,
    ) -> None:
        """`stack` closes the files, and drops what is not complete after an error."""
        self._args = args
        self._names = names
        self._stems = stems
        self._print_to = sys.stderr if args.jsonl == STDOUT else sys.stdout
        self._frames: list[Frame] = []
        self._drawn = 0
        self._summary: _Summary | None = None
        self._tracks: SourceTracks | None = None
        self.faults: list[str] = []
        self.moving = False  # whether a frame of a video or a camera came
        self._rows = []
        if args.jsonl:
            self._rows.append(stack.enter_context(json_lines(args.jsonl, names)))
        if args.csv:
            self._rows.append(stack.enter_context(csv_table(args.csv, names, args.track)))
        if args.crops:
            self._rows.append(Crops(args.crops, names, stems))
        self._labels = None
        if args.save_labels:
            self._labels = LabelFiles(args.out, args.save_labels, names, stems)
            self._rows.append(self._labels)
        self._videos = None
        if args.save_video:
            heard = frozenset(each.name for each in sources if each.kind is MediaKind.VIDEO)
            self._videos = stack.enter_context(Videos(args.out, stems, heard))

    def write(self, item: Result | Fault) -> None:
        """Write one result everywhere; collect what could not be read."""
        if isinstance(item, Fault):
            self.faults.append(item.message)
            return
        moves = item.frame.time is not None
        self.moving |= moves
        if moves and (self._summary is None or self._summary.source != item.frame.source):
            self._print_summary()
            self._summary = _Summary(item.frame.source)
            self._tracks = self._new_tracks()
        if moves and self._tracks is not None:
            item = item._replace(tracks=self._tracks.update(item.detections))
        for each in self._rows:
            each.write(item)
        if self._args.json:
            self._frames.append(Frame(_file_name(item), item.size, item.detections))
        if moves:
            self._summary.add(item)
            if self._videos is not None:
                self._videos.write(item, annotated(item, self._names, self._tracks))
        else:
            self._print_objects(item)
            if self._args.out:
                path = self._args.out / f"{self._stems.of_frame(item.frame)}.png"
                write_png(path, annotated(item, self._names, None))
                self._drawn += 1

    def finish(self, complete: bool) -> None:
        """Write what is written at once; complete: whether results of a part of the sources are wanted."""
        self._print_summary()
        if complete:
            if self._labels is not None:
                self._labels.finish()
            if self._args.json:
                write_text(self._args.json, darknet_json(self._frames, self._names))

    def print_written(self) -> None:
        """Print where the outputs are."""
        args = self._args
        for name, path in (("json", args.json), ("json lines", args.jsonl), ("csv", args.csv)):
            if path and path != STDOUT and path.exists():
                self._print(f"{name}: {path}")
        for path in self._videos.paths if self._videos else ():
            self._print(f"video with boxes: {path}")
        if args.save_labels:
            self._print(
                f"labels: {args.out / ('labels' if args.save_labels != 'coco' else 'labels.json')}"
            )
        if args.crops:
            self._print(f"crops: {args.crops}")
        if args.out and (self._drawn or not self.moving):
            self._print(f"images with boxes: {args.out} ({self._drawn})")

    def _new_tracks(self) -> SourceTracks | None:
        args = self._args
        return SourceTracks(args.thresh, args.every, args.count_line) if args.track else None

    def _print_objects(self, result: Result) -> None:
        found = result.rows()
        count = "1 object" if len(found) == 1 else f"{len(found)} objects"
        self._print(f"{result.frame.source}: {count}")
        for box, score, label, _ in found:
            corners = " ".join(f"{value:.0f}" for value in box)
            self._print(f"  {self._names[label]} {100 * score:.0f}%  {corners}")

    def _print_summary(self) -> None:
        if self._summary is None:
            return
        self._print(self._summary.text())
        counter = self._tracks.counter if self._tracks else None
        if counter is not None:
            self._print(
                f"  crossed the line: {counter.left_to_right} from left to right, "
                f"{counter.right_to_left} from right to left"
            )
        self._summary = None

    def _print(self, line: str) -> None:
        print(line, file=self._print_to)


@dataclass
class _Summary:
    """The counts of one video or stream."""

    source: str
    frames: int = 0
    objects: int = 0
    begun: float = 0.0

    def add(self, result: Result) -> None:
        self.begun = self.begun or time.monotonic()
        self.frames += 1
        self.objects += len(result.detections)

    def text(self) -> str:
        seconds = time.monotonic() - self.begun
        rate = (
            f", {(self.frames - 1) / seconds:.1f} frames/s" if self.frames > 1 and seconds else ""
        )
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        objects = "1 object" if self.objects == 1 else f"{self.objects} objects"
        return f"{self.source}: {frames}, {objects}{rate}"


def _file_name(result: Result) -> str:
    """The name in Darknet's json: that of the image, or of the video with the frame's number."""
    frame = result.frame
    return frame.source if frame.time is None else f"{frame.source}#{frame.index}"


def _detector(args: argparse.Namespace) -> Detector:
    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if not network.heads:
        raise CfgError(
            f"{args.cfg}: found a classifier, expected a detection head; use tools/classify.py"
        )
    load_weights(network, args.weights)
    names = read_names(args.names)
    if len(names) != network.classes:
        expected = f"{network.classes} as in {args.cfg}"
        raise DatasetError(f"{args.names}: found {len(names)} names, expected {expected}")
    letterbox = args.letterbox or network.letterboxed
    return Detector(network.to(args.device), names, args.thresh, args.nms, letterbox=letterbox)


def _check_outputs(args: argparse.Namespace, sources: list[MediaSource], stems: Stems) -> None:
    """Raise DatasetError where an output would replace an input, or cannot be made of these sources."""
    inputs = {Path(name).resolve() for name in (args.cfg, args.weights, args.names)}
    files = [Path(each.name) for each in sources if each.kind in (MediaKind.IMAGE, MediaKind.VIDEO)]
    inputs |= {path.resolve() for path in files}
    for path in (args.json, args.csv, args.jsonl):
        if path and path != STDOUT and path.resolve() in inputs:
            raise DatasetError(f"{path}: found a file that is read, expected another one to write")
    for path in files if args.out else ():
        drawing = args.out / f"{stems.of_source(str(path))}.png"
        if drawing.resolve() in inputs:
            raise DatasetError(
                f"{drawing}: found an image to look at, expected an --out without them"
            )
    if args.save_video and all(each.kind is MediaKind.IMAGE for each in sources):
        raise DatasetError("--save-video: found only images, expected a video or numbered frames")


def _raise_faults(faults: list[str], sources: list[MediaSource]) -> None:
    if not faults:
        return
    shown = "; ".join(faults[:3])
    if all(each.kind is MediaKind.IMAGE for each in sources):
        shown = f"{len(faults)} of {len(sources)} images could not be read: {shown}"
    elif len(faults) > 3:
        shown = f"{len(faults)} faults in the sources: {shown}"
    raise DatasetError(shown)


def _count_line(text: str) -> Line:
    """A type for argparse: x1,y1,x2,y2."""
    number = r"\d+(?:\.\d+)?"
    if not re.fullmatch(rf"{number}(,{number}){{3}}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected four numbers x1,y1,x2,y2")
    x1, y1, x2, y2 = map(float, text.split(","))
    if (x1, y1) == (x2, y2):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two different points")
    return x1, y1, x2, y2


def _overlap(text: str) -> float:
    """A type for argparse: a number from 0 to LARGEST_OVERLAP."""
    if share(text) > LARGEST_OVERLAP:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected at most {LARGEST_OVERLAP}")
    return share(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", nargs="+", metavar="SOURCE", help="what to look at, see above")
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--weights", type=Path, required=True, metavar="FILE")
    add("--names", type=Path, required=True, metavar="FILE")
    add("--thresh", type=share, default=SCORE_THRESH, metavar="T", help="least score; default .25")
    add("--nms", type=share, default=NMS_THRESH, metavar="T", help="largest overlap; default .45")
    add("--letterbox", action="store_true", help="keep the images' aspect, as pjreddie's Darknet")
    add("--out", type=Path, metavar="DIR", help="write the images with boxes there")
    add("--json", type=new_file, metavar="FILE", help="write Darknet's json")
    add_dialect_option(parser, WEIGHTS_VERSIONS, "layers, view (pjreddie: --letterbox)")
    add_set_option(parser)
    add_device_option(parser)
    add = parser.add_argument_group("sources").add_argument
    add("--recursive", action="store_true", help="read the subfolders of folders, too")
    one = whole_number(1)
    add("--every", type=one, default=1, metavar="N", help="of a video or stream, each N-th frame")
    add("--max-frames", type=one, metavar="N", help="of a video or stream, at most N frames")
    add = parser.add_argument_group("outputs").add_argument
    add("--save-video", action="store_true", help="write videos with boxes to --out; H.264, MP4")
    add("--jsonl", type=new_file, metavar="FILE", help="write a line of JSON a frame; - for stdout")
    add("--csv", type=new_file, metavar="FILE", help="write a row for each object")
    add("--crops", type=Path, metavar="DIR", help="write each object's pixels to DIR/CLASS/")
    add("--save-labels", choices=LABEL_FORMATS, help="write labels to correct by hand to --out")
    add = parser.add_argument_group("detection").add_argument
    add("--batch", type=one, default=1, metavar="N", help="images that pass the network together")
    add("--tile", type=whole_number(32), metavar="SIZE", help="also detect in tiles of SIZE pixels")
    add("--overlap", type=_overlap, default=0.2, metavar="F", help="of the tiles; default .2")
    add("--tta", action="store_true", help="also detect in mirrored and scaled copies")
    add("--track", action="store_true", help="number the objects of a video (extra: track)")
    add("--count-line", type=_count_line, metavar="X1,Y1,X2,Y2", help="count objects that cross it")
    args = parser.parse_args()
    for option in ("save_video", "save_labels"):
        if getattr(args, option) and not args.out:
            parser.error(f"argument --{option.replace('_', '-')}: expected --out DIR, too")
    if args.count_line and not args.track:
        parser.error("argument --count-line: expected --track, too")
    return args
