"""The film strip of a training run: the network's predictions for a few images, step by step, in the run's folder.

`watch/` holds a frame of each image at each step, film.json with the detections, film.png with all frames, and
index.html. A strip keeps at most MOST_FRAMES steps. When there are more, every second one is left out, so the earlier
steps of a long run are farther apart than the latest. A resumed run continues the strip from its step.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolo.detect.detector import Detector
from yolo.detect.draw import contact_sheet
from yolo.errors import DatasetError
from yolo.explain.film.frame import FRAME_SIDE, FilmFrame, film_frame
from yolo.explain.film.page import FilmImage, FilmMoment, film_page
from yolo.files.writing import replacing, write_text
from yolo.pages.page import PAGE_FILE, page_image

WATCH_FOLDER, RECORD_FILE, SHEET_FILE = "watch", "film.json", "film.png"
MOST_FRAMES = 24  # of an image
MOST_WATCHED = 12  # images
FRAME_ENDING = ".jpg"  # frames are encoded once: the page embeds these files
SHEET_SIDE = 200  # pixels of a frame in film.png


@dataclass(frozen=True)
class Watched:
    """An image that is watched. name: unique in the strip, the stem of its frames; pixels: uint8 `[H, W, C]`."""

    path: str
    name: str
    pixels: np.ndarray


class FilmStrip:
    """The strip in a folder. `shoot` adds a step."""

    def __init__(self, folder: Path, title: str, watched: Sequence[Watched], moments: Sequence[FilmMoment]) -> None:
        self.folder = folder / WATCH_FOLDER
        self.title = title
        self.watched = tuple(watched)
        self.moments = list(moments)

    def shoot(self, step: int, detector: Detector) -> Mapping[str, np.ndarray]:
        """Add the network's predictions, and write all files. Return the frames by image name, uint8 `[H, W, 3]`.

        Raises OSError if a file cannot be written.
        """
        frames = {each.name: film_frame(detector, each.pixels) for each in self.watched}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            _write_bytes(self._frame_path(step, name), page_image(frame.image, FRAME_ENDING))
        moment = FilmMoment(step, {name: _words(frame) for name, frame in frames.items()})
        self.moments = [each for each in self.moments if each.step < step] + [moment]
        if len(self.moments) > MOST_FRAMES:
            self._thin()
        self._write(detector.names)
        return {name: frame.image for name, frame in frames.items()}

    def _thin(self) -> None:
        """Leave out every second moment, except the first and the last."""
        kept = self.moments[:-1:2] + self.moments[-1:]
        for moment in self.moments:
            if moment not in kept:
                for each in self.watched:
                    self._frame_path(moment.step, each.name).unlink(missing_ok=True)
        self.moments = kept

    def _write(self, names: Sequence[str]) -> None:
        images = [FilmImage(each.name, each.path, self._frames(each.name)) for each in self.watched]
        sheet = [_decoded(frame) for image in images for frame in image.frames]
        record = {
            "title": self.title,
            "images": [{"path": each.path, "name": each.name} for each in self.watched],
            "moments": [asdict(moment) for moment in self.moments],
        }
        write_text(self.folder / RECORD_FILE, json.dumps(record, indent=1) + "\n")
        cell = _cell(sheet[0])
        _write_bytes(self.folder / SHEET_FILE, page_image(contact_sheet(sheet, len(self.moments), cell, gap=6), ".png"))
        write_text(self.folder / PAGE_FILE, film_page(self.title, images, self.moments, names))

    def _frame_path(self, step: int, name: str) -> Path:
        return self.folder / f"{name}_{step:07}{FRAME_ENDING}"

    def _frames(self, name: str) -> list[bytes]:
        """Return the files of an image's frames, gray where one is gone or broken."""
        found = [_read_frame(self._frame_path(moment.step, name)) for moment in self.moments]
        whole = next((each for each in found if each is not None), None)
        shape = (FRAME_SIDE, FRAME_SIDE, 3) if whole is None else _decoded(whole).shape
        gray = page_image(np.full(shape, 128, np.uint8), FRAME_ENDING)
        return [gray if each is None else each for each in found]


def named_images(paths: Sequence[Path], pixels: Sequence[np.ndarray]) -> list[Watched]:
    """Return images with their names: the stem of the file, with a number where two have the same.

    Raises DatasetError for more than MOST_WATCHED.
    """
    if len(paths) > MOST_WATCHED:
        raise DatasetError(f"found {len(paths)} images to watch, expected at most {MOST_WATCHED}")
    watched: list[Watched] = []
    for path, image in zip(paths, pixels, strict=True):
        names = {each.name for each in watched}
        stem = path.stem
        name = next(each for each in (stem, *(f"{stem}-{number}" for number in range(2, 99))) if each not in names)
        watched.append(Watched(str(path), name, image))
    return watched


def earlier_images(folder: Path) -> list[Path]:
    """Return the images that an earlier part of a run watched; [] without a strip, or one that cannot be read."""
    images = _record(folder).get("images", [])
    return [Path(each["path"]) for each in images]


def earlier_moments(folder: Path, step: int) -> list[FilmMoment]:
    """Return the moments of the strip in a folder up to a step, from which a run is resumed."""
    moments = [FilmMoment(**each) for each in _record(folder).get("moments", [])]
    return [moment for moment in moments if moment.step <= step]


def remove_film(folder: Path) -> None:
    """Delete the strip of an earlier run."""
    if (folder / WATCH_FOLDER / RECORD_FILE).exists():
        shutil.rmtree(folder / WATCH_FOLDER)


def _record(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / WATCH_FOLDER / RECORD_FILE).read_text(encoding="utf-8"))
        for moment in found["moments"]:
            FilmMoment(**moment)
        return found if all(isinstance(each["path"], str) for each in found["images"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _words(frame: FilmFrame) -> str:
    """Return the detections, as a caption."""
    if not frame.detections:
        return f"nothing; highest objectness {frame.highest:.2f}"
    shown = ", ".join(f"{name} {score:.2f}" for name, score in frame.detections[:2])
    return shown + (f" and {len(frame.detections) - 2} more" if len(frame.detections) > 2 else "")


def _cell(frame: np.ndarray) -> tuple[int, int]:
    """Return the (height, width) of a cell of the sheet: that of the first frame, scaled."""
    height, width = frame.shape[:2]
    scale = SHEET_SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _read_frame(path: Path) -> bytes | None:
    """Return the content of a frame's file; None if it is gone or broken."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if content and cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None else None


def _decoded(frame: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
