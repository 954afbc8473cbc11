"""Make the names of output files for images, sources and classes."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from yolo.detect.sources.frame import SourceFrame
from yolo.detect.sources.kinds import NUMBER, URL

# characters with a meaning in some file system; letters of any script are allowed
UNSAFE = re.compile(r"[^\w .,()+-]|^\.+")

MOST_NAME_BYTES = 150  # file systems allow 255, and endings and numbers follow


class Stems:
    """Gives each image and each source a unique name without ending.

    images: those known beforehand. If two have the same name, the names of their folders are put before it, and a
    number after it if that is not enough.
    """

    def __init__(self, images: Iterable[Path] = ()) -> None:
        self._used: set[str] = set()
        self._of: dict[str, str] = {}
        paths = list(dict.fromkeys(images))
        counts = Counter(path.stem for path in paths)
        for path in paths:
            alone = counts[path.stem] == 1
            self._assign(str(path), path.stem if alone else f"{path.parent.name}_{path.stem}")

    def of_source(self, source: str) -> str:
        """Return the name of the files for a whole source, such as its video."""
        return self._of.get(source) or self._assign(source, source_stem(source))

    def of_frame(self, frame: SourceFrame) -> str:
        """Return the name of the files for one frame: the image's, or the video's with the frame's number."""
        stem = self.of_source(frame.source)
        return stem if frame.time is None else f"{stem}_{frame.index:06d}"

    def _assign(self, key: str, name: str) -> str:
        stem, number = name, 1
        while stem in self._used:
            number += 1
            stem = f"{name}-{number}"
        self._used.add(stem)
        self._of[key] = stem
        return stem


def source_stem(source: str) -> str:
    """Return a file name for a source: `clip.mp4` → clip, `camera 0` → camera0, `rtsp://host/live` → live."""
    if source == "-":
        return "stdin"
    if URL.fullmatch(source):
        parts = urlsplit(source)
        return safe_name(Path(parts.path).stem or parts.hostname or "stream")
    if source.startswith("camera "):
        return source.replace(" ", "")
    return safe_name(NUMBER.sub("", Path(source).stem) or "frames")


def safe_name(name: str) -> str:
    """Return `name` as a file or folder name that is valid on every system."""
    safe = UNSAFE.sub("_", name).strip(" .") or "_"
    return safe.encode()[:MOST_NAME_BYTES].decode(errors="ignore")
