"""A long list of images, divided among processes and machines that do not communicate.

The list is cut into parts of equal numbers of lines. Shard I of N has every N-th part, and writes each as one file. The
cut does not depend on N, so a finished part need not be repeated, even with another number of shards.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Event

from yolo.data.parallel import in_threads
from yolo.detect.outputs.parts import Parts, WriteRow, error_row, result_row
from yolo.detect.outputs.result import Result
from yolo.detect.sources.frame import Fault
from yolo.detect.sources.images import image_frame
from yolo.files.folders import folder_if_used
from yolo.files.located import locate
from yolo.files.lock import locked
from yolo.formats.label_files import list_lines

FRAMES_OF_A_TASK = 1  # decoded images take megabytes: few of them wait
LOCK = re.compile(r"\.shard-(\d+)-of-(\d+)\.lock")  # held by the process that writes a shard


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`: the parts whose number leaves that remainder. N of N is 0 of N."""

    number: int
    count: int

    def has(self, part: int) -> bool:
        """Return whether a part, numbered from 0, belongs to this shard."""
        return part % self.count == self.number % self.count

    def shares_parts(self, other: Shard) -> bool:
        """Return whether there are parts, in a list that is long enough, which belong to both shards."""
        return (self.number - other.number) % math.gcd(self.count, other.count) == 0

    def __str__(self) -> str:
        """Return I/N as on the command line, with I from 1."""
        return f"shard {self.number % self.count or self.count}/{self.count}"


@dataclass(frozen=True)
class ListedImage:
    """An image of a part: its line in the list, from 1, and its path."""

    part: int
    line: int
    path: Path


@dataclass(frozen=True)
class PartDone:
    """A part that was written: its number, its images, how many could not be read, and the objects found."""

    part: int
    images: int
    errors: int
    objects: int


@contextmanager
def alone_in_shard(folder: Path, shard: Shard) -> Iterator[None]:
    """Keep the parts of a shard in a folder for one process, in this context. Other shards may be written beside it.

    The folder is created. It is removed at the end if it is new and nothing was written. The lock of a process that
    was killed does not count. Raises OutputError if another process writes this shard, or, with another number of
    shards, one that shares parts with it.
    """
    own = folder / f".shard-{shard.number % shard.count}-of-{shard.count}.lock"
    with folder_if_used(folder), locked(own, _writes(shard)):
        for path in folder.glob(".shard-*.lock"):
            found = LOCK.fullmatch(path.name)
            other = Shard(int(found[1]), int(found[2])) if found else shard
            if other.count != shard.count and shard.shares_parts(other):
                with locked(path, _writes(other)):
                    pass  # its process has ended
        yield


def _writes(shard: Shard) -> str:
    return f"that writes {shard}"


def shard_images(
    path: str | Path, shard: Shard, part_size: int, is_complete: Callable[[int], bool]
) -> Iterator[ListedImage]:
    """Yield the `ListedImage`s of a shard whose parts are not complete. The list is read line by line.

    Args:
        path: the list, one image a line.
        shard: which parts are wanted.
        part_size: lines of a part.
        is_complete: returns whether the part of a number exists.
    """
    folder = Path(path).parent
    for part, lines in groupby(list_lines(path), lambda entry: (entry[0] - 1) // part_size):
        if shard.has(part) and not is_complete(part):
            for line, text in lines:
                yield ListedImage(part, line, locate(text, folder))


def write_shard(
    images: Iterable[ListedImage],
    channels: int,
    detect: Callable[..., Iterator[Result | Fault]],
    names: Sequence[str],
    parts: Parts,
) -> Iterator[PartDone]:
    """Detect in images and write them part by part.

    Args:
        images: of `shard_images`, part after part.
        channels: 3 for RGB images, 1 for gray ones.
        detect: (frames and faults, stop) → as many results and faults in their order; `stop` is an event that
            ends it early.
        names: of the classes.
        parts: the files.

    Yields:
        PartDone after each part.
    """
    waiting: deque[ListedImage] = deque()  # read, but still without a result
    stop = Event()

    def noted() -> Iterator[ListedImage]:
        for image in images:
            waiting.append(image)
            yield image

    frames = in_threads(lambda image: image_frame(image.path, channels), noted(), FRAMES_OF_A_TASK)
    with closing(detect(frames, stop=stop)) as results:
        items = ((waiting.popleft(), item) for item in results)
        for part, group in groupby(items, lambda pair: pair[0].part):
            with parts.writing(part) as write:
                done = _write_part(part, group, names, write)
            yield done


def _write_part(
    part: int, group: Iterable[tuple[ListedImage, Result | Fault]], names: Sequence[str], write: WriteRow
) -> PartDone:
    images = errors = objects = 0
    for image, item in group:
        images += 1
        if isinstance(item, Fault):
            errors += 1
            write(error_row(image.line, str(image.path), item.message))
        else:
            objects += len(item.detections)
            write(result_row(image.line, item, names))
    return PartDone(part, images, errors, objects)
