"""Write and print all outputs of each result, in the order of the frames."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from yolo.console.numbers import speed_text
from yolo.detect.outputs.annotated import Videos, annotated
from yolo.detect.outputs.images import Crops, write_png
from yolo.detect.outputs.labels import LabelFiles
from yolo.detect.outputs.naming import Stems
from yolo.detect.outputs.result import Result
from yolo.detect.outputs.rows import STDOUT, DetectionsCsv, JsonLines, csv_table, json_lines
from yolo.detect.sources.frame import Fault
from yolo.detect.sources.kinds import MediaKind, MediaSource
from yolo.detect.track import SourceTracks
from yolo.errors import counted
from yolo.files.text import one_line
from yolo.files.writing import write_text
from yolo.formats.darknet_json import DarknetFrame, darknet_frame, darknet_json

SETTLING = 1.0  # seconds: a server sends its buffered frames at once, and the rate does not count them


@dataclass(frozen=True)
class Wanted:
    """The outputs to write: files and folders; None: no such output.

    out: images with boxes, and outputs without a path of their own. json: Darknet's. jsonl: `-` for stdout.
    labels: yolo, voc or coco, in `out`. video: annotated videos, in `out`.
    """

    out: Path | None = None
    json: Path | None = None
    jsonl: Path | None = None
    csv: Path | None = None
    crops: Path | None = None
    labels: str | None = None
    video: bool = False


class Writers:
    """Write results one by one.

    Args:
        wanted: what to write.
        names: of the classes.
        sources: all sources, for the names of files and the sound of videos.
        new_tracks: begins the tracking of a source; None without tracking.
        print_line: prints a line for the user.
        stack: closes the files, and drops unfinished ones after an error.
        together: frames that come at the same time, because the network computes them together.
    """

    def __init__(
        self,
        wanted: Wanted,
        names: Sequence[str],
        sources: Sequence[MediaSource],
        new_tracks: Callable[[], SourceTracks] | None,
        print_line: Callable[[str], None],
        stack: ExitStack,
        together: int = 1,
    ) -> None:
        self._wanted = wanted
        self._together = together
        self._names = names
        self._new_tracks = new_tracks
        self._print = print_line
        self._stems = stems_of(sources)
        self._files = {each.name for each in sources if each.kind in (MediaKind.VIDEO, MediaKind.NUMBERED)}
        self._frames: list[DarknetFrame] = []
        self._drawn = 0
        self._summary: _Summary | None = None
        self._tracks: SourceTracks | None = None
        self.faults: list[str] = []
        self.moving = False  # whether a frame of a video, a stream or a camera came
        self._each: list[JsonLines | DetectionsCsv | Crops | LabelFiles] = []
        if wanted.jsonl:
            self._each.append(stack.enter_context(json_lines(wanted.jsonl, names)))
        if wanted.csv:
            tracked = new_tracks is not None
            self._each.append(stack.enter_context(csv_table(wanted.csv, names, tracked)))
        if wanted.crops:
            self._each.append(Crops(wanted.crops, names, self._stems))
        self._labels = None
        if wanted.labels:
            self._labels = LabelFiles(wanted.out, wanted.labels, names, self._stems)
            self._each.append(self._labels)
        self._videos = None
        if wanted.video:
            heard = frozenset(each.name for each in sources if each.kind is MediaKind.VIDEO)
            self._videos = stack.enter_context(Videos(wanted.out, self._stems, heard))

    def write(self, item: Result | Fault) -> None:
        """Write one result, or collect a Fault."""
        if isinstance(item, Fault):
            self.faults.append(item.message)
            return
        is_image = item.frame.time is None
        if is_image:
            self._print_summary()  # of a video before it
        else:
            self._begin_source(item.frame.source)
            if self._tracks is not None:
                item = item._replace(tracks=self._tracks.update(item.detections))
        for each in self._each:
            each.write(item)
        if self._wanted.json:
            frame = darknet_frame(_json_name(item), item.size, item.detections)
            self._frames.append(frame)
        if is_image:
            self._write_image(item)
        else:
            self._summary.add(item)
            if self._videos is not None:
                self._videos.write(item, annotated(item, self._names, self._tracks))

    def finish(self, complete: bool) -> None:
        """Write the files of all results; complete: False leaves out those of only a part of the images."""
        self._print_summary()
        if complete and self._labels is not None:
            self._labels.finish()
        if complete and self._wanted.json:
            write_text(self._wanted.json, darknet_json(self._frames, self._names))

    def print_written(self) -> None:
        """Print where the outputs are."""
        wanted = self._wanted
        files = (("json", wanted.json), ("json lines", wanted.jsonl), ("csv", wanted.csv))
        for name, path in files:
            if path and path != STDOUT and path.exists():
                self._print(f"{name}: {path}")
        for path in self._videos.paths if self._videos else ():
            self._print(f"video with boxes: {path}")
        labels = wanted.out / ("labels.json" if wanted.labels == "coco" else "labels") if wanted.labels else None
        for name, path in (("labels", labels), ("crops", wanted.crops)):
            if path and path.exists():
                self._print(f"{name}: {path}")
        if self._drawn:
            self._print(f"images with boxes: {wanted.out} ({self._drawn})")
            if labels:
                self._print("train on the original images with these labels, not on the images with boxes")

    def _begin_source(self, source: str) -> None:
        self.moving = True
        if self._summary is None or self._summary.source != source:
            self._print_summary()
            self._summary = _Summary(source, 0.0 if source in self._files else SETTLING, self._together)
            self._tracks = None if self._new_tracks is None else self._new_tracks()

    def _write_image(self, result: Result) -> None:
        found = result.rows()
        self._print(f"{one_line(result.frame.source)}: {counted(len(found), 'object')}")
        for box, score, label, _ in found:
            corners = " ".join(f"{value:.0f}" for value in box)
            self._print(f"  {self._names[label]} {100 * score:.0f}%  {corners}")
        if self._wanted.out:
            path = self._wanted.out / f"{self._stems.of_frame(result.frame)}.png"
            write_png(path, annotated(result, self._names, None))
            self._drawn += 1

    def _print_summary(self) -> None:
        if self._summary is None:
            return
        self._print(self._summary.text())
        if self._tracks is not None and (counter := self._tracks.counter) is not None:
            self._print(
                f"  crossed the line: {counter.left_to_right} from left to right, "
                f"{counter.right_to_left} from right to left"
            )
        self._summary = None


@dataclass
class _Summary:
    """The counts of one video or stream, and its rate.

    settling: seconds after the first frame that the rate leaves out, and together: frames that it leaves out, since the
    first ones come at the same time. first, begun, last: the time of the first frame, of the first one that counts for
    the rate, and of the last; before: frames up to `begun`.
    """

    source: str
    settling: float
    together: int
    frames: int = 0
    objects: int = 0
    first: float | None = None
    begun: float | None = None
    before: int = 0
    last: float = 0.0

    def add(self, result: Result) -> None:
        self.frames += 1
        self.objects += len(result.detections)
        self.last = time.monotonic()
        self.first = self.last if self.first is None else self.first
        settled = self.frames >= self.together and self.last - self.first >= self.settling
        if self.begun is None and settled:
            self.begun, self.before = self.last, self.frames

    def text(self) -> str:
        rate = ""
        if self.begun is not None and self.frames - self.before >= self.together:
            rate = f", {speed_text((self.frames - self.before) / (self.last - self.begun))} frames/s"
        return f"{self.source}: {counted(self.frames, 'frame')}, {counted(self.objects, 'object')}{rate}"


def stems_of(sources: Sequence[MediaSource]) -> Stems:
    """Return the names of the output files for the images among the sources."""
    return Stems(Path(each.name) for each in sources if each.kind is MediaKind.IMAGE)


def _json_name(result: Result) -> str:
    """Return the name in Darknet's json: that of the image, or of the video with the frame's number."""
    frame = result.frame
    return frame.source if frame.time is None else f"{frame.source}#{frame.index}"
