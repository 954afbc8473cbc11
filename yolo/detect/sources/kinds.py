"""Recognize SOURCE arguments: image, folder, pattern, list, video, stream, camera, stdin or numbered frames."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from glob import glob, has_magic
from pathlib import Path

from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.files.located import locate
from yolo.formats.label_files import list_lines

VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".gif", ".h264", ".h265", ".hevc", ".mjpg", ".mjpeg"),
)

LIST_ENDING = ".txt"
STDIN = ("-", "/dev/stdin")
CAMERA = re.compile(r"[0-9]{1,3}")
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://.+")
ONE_SLASH = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt):/?([^/].*)", re.I)  # an address that lacks one or two
WEB = ("http://", "https://")
NUMBER = re.compile(r"%(0[1-9])?d")  # of the name of a numbered frame, as in C and in ffmpeg


class MediaKind(Enum):
    """The kind of one source, after folders, patterns and lists are expanded."""

    IMAGE = "image"
    VIDEO = "video"
    NUMBERED = "numbered frames"
    STREAM = "stream"
    WEB = "web address"  # an image or a stream; the server's answer decides
    CAMERA = "camera"
    STDIN = "stdin"


@dataclass(frozen=True)
class MediaSource:
    """One source: its kind and its path, address or number, as printed."""

    kind: MediaKind
    name: str

    @property
    def is_live(self) -> bool:
        """Whether it has no end, and frames that are not read in time are lost."""
        return self.kind in (MediaKind.STREAM, MediaKind.CAMERA)


def expand(arguments: list[str], recursive: bool = False) -> list[MediaSource]:
    """Return the sources of SOURCE arguments, in their order; the files of a folder or a pattern are sorted.

    The name of an existing file or folder is always that file or folder, even if it looks like a pattern or an address.
    Hidden files in folders are skipped (macOS writes `._x.jpg` beside each image). Raises DatasetError for an argument
    without a source, OSError for a list that cannot be read.
    """
    return [source for argument in arguments for source in _expand_one(argument, recursive)]


def _expand_one(argument: str, recursive: bool) -> list[MediaSource]:
    if argument in STDIN:
        return [MediaSource(MediaKind.STDIN, "-")]
    if URL.fullmatch(argument):
        return [_source_of_address(argument)]
    path = Path(argument)
    if path.is_dir():
        return _folder(path, recursive)
    if path.suffix.lower() == LIST_ENDING and path.is_file():
        return _listed((line for _, line in list_lines(path)), path.parent, str(path))
    if path.exists():
        return [source_of_file(path)]
    if CAMERA.fullmatch(argument):
        return [MediaSource(MediaKind.CAMERA, argument)]
    if NUMBER.search(path.name):
        if not numbered_frames(argument):
            raise DatasetError(f"{path}: found no file of this pattern")
        return [MediaSource(MediaKind.NUMBERED, argument)]
    if has_magic(argument):
        return _pattern(argument)
    hint = f"; did you mean {slashed[1].lower()}://{slashed[2]}?" if (slashed := ONE_SLASH.fullmatch(argument)) else ""
    raise DatasetError(f"{argument}: no such file or folder{hint}")


def _source_of_address(url: str) -> MediaSource:
    return MediaSource(MediaKind.WEB if url.lower().startswith(WEB) else MediaKind.STREAM, url)


def source_of_file(path: Path) -> MediaSource:
    """Return a video for the ending of a video, else an image."""
    is_video = path.suffix.lower() in VIDEO_ENDINGS
    return MediaSource(MediaKind.VIDEO if is_video else MediaKind.IMAGE, str(path))


def numbered_frames(pattern: str) -> list[Path]:
    """Return the files of a pattern such as `frame%05d.png`, by their numbers; gaps are allowed."""
    path = Path(pattern)
    field = NUMBER.search(path.name)
    start, end = path.name[: field.start()], path.name[field.end() :]
    least = int((field[1] or "1")[-1])
    name = re.compile(f"{re.escape(start)}([0-9]{{{least},}}){re.escape(end)}")
    found = []
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        number = name.fullmatch(file.name)
        if number and file.is_file():
            found.append((int(number[1]), file))
    return [file for _, file in sorted(found)]


def _folder(folder: Path, recursive: bool) -> list[MediaSource]:
    inside = folder.rglob("*") if recursive else folder.iterdir()
    found = [path for path in sorted(inside) if _is_shown(path, folder)]
    if not found:
        hint = "" if recursive else "; --recursive also reads its subfolders"
        hint = hint if any(path.is_dir() for path in folder.iterdir()) else ""
        raise DatasetError(f"{folder}: found no image in this folder{hint}")
    return [source_of_file(path) for path in found]


def _is_shown(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and _is_media(path)


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in (*IMAGE_ENDINGS, *VIDEO_ENDINGS) and path.is_file()


def _pattern(pattern: str) -> list[MediaSource]:
    """Return the files of a quoted pattern; a shell expands the others itself."""
    files = [path for path in map(Path, sorted(glob(pattern, recursive=True))) if _is_media(path)]
    if not files:
        raise DatasetError(f"{pattern}: found no image or video of this pattern")
    return [source_of_file(path) for path in files]


def listed_sources(text: str) -> list[MediaSource]:
    """Return the files and addresses in a text on stdin, one a line. Raises DatasetError if there are none."""
    return _listed((line.strip() for line in text.splitlines() if line.strip()), Path(), "-")


def _listed(lines: Iterable[str], folder: Path, name: str) -> list[MediaSource]:
    """Return the sources of lines; relative paths are tried from the current folder, then from `folder`."""
    found = [
        _source_of_address(line) if URL.fullmatch(line) else source_of_file(locate(line, folder)) for line in lines
    ]
    if not found:
        place = "nothing on stdin" if name == "-" else "no image"
        raise DatasetError(f"{name}: found {place}, expected an image or one path a line")
    return found
