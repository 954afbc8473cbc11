"""Fingerprints of images: a digest of the file, a perceptual hash, and a sketch of 16 x 16 pixels.

Files that have not changed since the last time are not read again. The fingerprints are kept in NAME.looks beside the
list NAME, as the data check keeps NAME.checked.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolo.console.progress import progress
from yolo.data.check_cache import LEAST_ENTRIES, file_to_keep, kept_files
from yolo.data.decoding.messages import MESSAGES
from yolo.data.image_header import parse_header
from yolo.data.parallel import in_threads
from yolo.errors import DatasetError
from yolo.files.contents import open_input
from yolo.files.located import file_state
from yolo.files.writing import replacing

log = logging.getLogger(__name__)
ENDING = ".looks"
FORM = 1  # of the file; files with another number are ignored
SKETCH = 16  # pixels of a side
HASH_ROWS, HASH_COLUMNS = 8, 9  # dHash: each pixel with its right neighbor (N. Krawetz, "Kind of Like That", 2013)
LEAST_DECODED = 48  # a JPEG is decoded at an eighth, a quarter or half of its size, if its sides are this long then
REDUCED = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Of N images. keys: uint64 `[N]`, of the states of the files; contents: uint64 `[N]`, digests of their bytes.

    hashes: uint64 `[N]`, dHash of 64 bits; sketches: uint8 `[N, SKETCH * SKETCH]`, gray; readable: bool `[N]`.
    """

    keys: np.ndarray
    contents: np.ndarray
    hashes: np.ndarray
    sketches: np.ndarray
    readable: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)


def fingerprints_of(paths: Sequence[str], listed: Path | None = None, recheck: bool = False) -> Fingerprints:
    """Compute the fingerprints of images, in threads; only a few images are in memory at a time.

    Args:
        paths: the files.
        listed: the list that names them, beside which the result is kept; None: it is not kept.
        recheck: read files that have not changed since the last time, too.
    """
    keys = np.fromiter((_key(path) for path in paths), np.uint64, len(paths))
    keeps = listed is not None and len(paths) >= LEAST_ENTRIES
    known = _read(listed) if keeps and not recheck else None
    if known is not None and np.array_equal(known.keys, keys):
        return known
    fingerprints = Fingerprints(
        keys,
        np.zeros(len(keys), np.uint64),
        np.zeros(len(keys), np.uint64),
        np.zeros((len(keys), SKETCH * SKETCH), np.uint8),
        np.zeros(len(keys), bool),
    )
    places = _copy_known(fingerprints, known)
    looks = in_threads(lambda place: (place, look_at(paths[place])), places)
    name = listed.name if listed else "images"
    for place, look in progress(looks, f"comparing {name}", len(places)):
        if look is not None:
            fingerprints.contents[place], fingerprints.hashes[place], fingerprints.sketches[place] = look
            fingerprints.readable[place] = True
    if keeps:
        _write(listed, fingerprints)
    return fingerprints


def look_at(path: str) -> tuple[int, int, np.ndarray] | None:
    """Return the digest of an image file, its dHash and its sketch uint8 `[SKETCH * SKETCH]`; None if it is broken."""
    try:
        with open_input(path) as file:
            content = file.read()
        gray = small_gray(content)
    except (DatasetError, OSError, ValueError):
        return None
    if gray is None:
        return None
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    sketch = cv2.resize(gray, (SKETCH, SKETCH), interpolation=cv2.INTER_AREA)
    return digest, difference_hash(gray), sketch.ravel()


def small_gray(content: bytes) -> np.ndarray | None:
    """Decode an image in gray, uint8 `[H, W]`, a JPEG at a part of its size; None if OpenCV cannot."""
    header = parse_header(content)
    flags = cv2.IMREAD_GRAYSCALE
    if header and header.format == "JPEG":
        flags = next((flag for part, flag in REDUCED if min(header.stored) >= part * LEAST_DECODED), flags)
    try:
        return MESSAGES.call(lambda: cv2.imdecode(np.frombuffer(content, np.uint8), flags))[0] if content else None
    except (cv2.error, MemoryError):
        return None


def difference_hash(gray: np.ndarray) -> int:
    """Return the dHash of an image uint8 `[H, W]`: 64 bits, whether each of 8 x 9 pixels is darker than the next."""
    small = cv2.resize(gray, (HASH_COLUMNS, HASH_ROWS), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _key(path: str) -> int:
    """Return a key of a file and its state."""
    state = file_state(path)
    text = repr((path, state and (state.st_size, state.st_mtime_ns))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _copy_known(fingerprints: Fingerprints, known: Fingerprints | None) -> list[int]:
    """Copy what is known, and return the places of the other images."""
    if known is None or not len(known):
        return list(range(len(fingerprints)))
    order = np.argsort(known.keys, kind="stable")
    place = np.searchsorted(known.keys, fingerprints.keys, sorter=order).clip(max=len(order) - 1)
    old = order[place]
    same = known.keys[old] == fingerprints.keys
    for name in ("contents", "hashes", "sketches", "readable"):
        getattr(fingerprints, name)[same] = getattr(known, name)[old[same]]
    return np.flatnonzero(~same).tolist()


def _read(listed: Path) -> Fingerprints | None:
    """Return the kept fingerprints; None without the file, or if it is damaged or has another format."""
    for path in kept_files(listed, ENDING):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if int(stored["form"]) == FORM:
                    names = ("keys", "contents", "hashes", "sketches", "readable")
                    return Fingerprints(*(stored[name] for name in names))
        # What np.load raises for a file that is missing, cut off, changed or of another kind
        except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError,
                zipfile.BadZipFile, zlib.error):  # fmt: skip
            continue
    return None


def _write(listed: Path, fingerprints: Fingerprints) -> None:
    path = file_to_keep(listed, ENDING)
    try:
        with replacing(path) as file:
            np.savez(file, form=FORM, **vars(fingerprints))
    except OSError as error:
        log.info("%s: what was found in the images cannot be stored: %s", path, error.strerror)
