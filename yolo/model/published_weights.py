"""Published weights by name: the table in `weights/README.md`, files already there, and the download.

A download goes to `NAME.part`, can be resumed, and gets its name when it has the published size. Its SHA-256 is written
beside it, so that a later download of the same file can be compared.
"""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yolo.errors import WeightsError
from yolo.files import write_text

ROW = re.compile(
    r"^\|[^|]*\| `([^`|]+)` \| ([0-9,]+)( \(computed\))? \| (https?://[^| ]+) \|$", re.M
)
CHUNK = 2**18  # bytes
PATIENCE = 30.0  # seconds without a byte
RANGE_DONE = 416  # HTTP: the range begins where the file ends
PARTIAL = 206  # HTTP: the answer is the rest of the file
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


@dataclass(frozen=True)
class PublishedFile:
    """A file of the table. size: bytes as published, None where the table's number is computed, not known."""

    name: str
    size: int | None
    url: str


def published_files(table: str) -> dict[str, PublishedFile]:
    """Return the files of a table in Markdown by their names and, without ending, by the names of their models.

    A name whose ending is no `.weights` (`darknet53.conv.74`) is complete as it is.
    """
    files = {}
    for name, size, computed, url in ROW.findall(table):
        file = PublishedFile(name, None if computed else int(size.replace(",", "")), url)
        files[name] = files[name.removesuffix(".weights")] = file
    return files


def download(file: PublishedFile, folder: Path, progress: Progress = lambda *_: None) -> Path:
    """Download a file into `folder`; a download that was interrupted goes on where it stopped.

    Args:
        file: what to download.
        folder: where to; made where it is not there.
        progress: called with the bytes so far and, where known, the bytes in all.

    Returns:
        The file's path. `NAME.sha256` beside it holds its SHA-256.

    Raises:
        WeightsError: the server cannot be reached or refuses, the file has another size than published, or another
            SHA-256 than the one that lies beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        _fetch(file, part, progress)
    except OSError as error:  # urllib's errors are OSErrors
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise WeightsError(
            f"{target}: not there, and {file.url} could not be downloaded ({reason}); "
            "download it by other means and put it there"
        ) from None
    size = part.stat().st_size
    if file.size is not None and size != file.size:
        part.unlink()
        raise WeightsError(f"{file.url}: found {size} bytes, expected {file.size}")
    digest = _sha256(part)
    note = folder / f"{file.name}.sha256"
    if note.exists() and note.read_text().split()[:1] != [digest]:
        part.unlink()
        raise WeightsError(
            f"{file.url}: found SHA-256 {digest}, expected the one in {note}: the published file has changed"
        )
    part.replace(target)
    write_text(note, f"{digest}  {file.name}\n")
    return target


def _fetch(file: PublishedFile, part: Path, progress: Progress) -> None:
    """Append what is missing to `part`; start anew where the server does not continue."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if have and error.code == RANGE_DONE:
            return
        raise
    with answer, part.open("ab" if answer.status == PARTIAL else "wb") as output:
        have = output.tell()
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else file.size
        while chunk := answer.read(CHUNK):
            output.write(chunk)
            have += len(chunk)
            progress(have, total)
    if length and have < total:
        raise OSError(f"the connection ended after {have} of {total} bytes")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
