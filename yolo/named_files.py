"""Find files by name: shipped cfgs and lists of names (`yolov3-tiny`, `coco`), published weights (`yolov4-tiny`).

A wheel holds cfgs, names and the table of published weights inside the package (setup.py), a checkout in its folders
cfg/, data/ and weights/. A download goes to `NAME.part`, can be resumed, and gets its name when it has the published
size. Its SHA-256 is written beside it, so that a later download of the same file can be compared.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from yolo.data_file import read_data
from yolo.errors import DatasetError, WeightsError, counted
from yolo.files.contents import named_content, sha256_of
from yolo.files.folders import visible
from yolo.files.writing import naming, write_text
from yolo.names_file import read_classes, read_names

PACKAGE = Path(__file__).resolve().parent

HOMES = {  # ending → folder in an installed package, folder in a checkout
    ".cfg": (PACKAGE / "shipped_cfgs", PACKAGE.parent / "cfg"),
    ".names": (PACKAGE / "shipped_names", PACKAGE.parent / "data"),
}

# weights/README.md, the table of published weights: in an installed package, in a checkout
WEIGHTS_TABLES = (
    PACKAGE / "shipped_weights" / "README.md",
    PACKAGE.parent / "weights" / "README.md",
)

SIMILARITY = 0.4  # of a wrong name and one that is suggested, from 0 to 1


def shipped_files(ending: str) -> dict[str, Path]:
    """Return the shipped files with this ending, .cfg or .names: name without the ending → path."""
    installed, checkout = HOMES[ending]
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob(f"*{ending}"))}


def given_or_shipped(text: str, ending: str) -> Path:
    """Return the path `text`, or the shipped file of this name.

    A file that exists comes first. Only a name without folder and ending is looked up.
    Raises LookupError, with a message of one line, for a name that is neither.
    """
    path = Path(text)
    if path.is_file() or path.suffix or text != path.name:
        return path
    shipped = shipped_files(ending)
    if text in shipped:
        return shipped[text]
    if not path.exists():
        close = get_close_matches(text, shipped, n=5, cutoff=SIMILARITY) or list(shipped)
        raise LookupError(
            f"{text}: found no such file and no {ending} of this name in the package, "
            f"expected a file or one of {', '.join(close)}"
        )
    return path  # a folder: opening it raises an error that names it


def weights_table() -> Path:
    """Return the path of the table of published weights."""
    installed, checkout = WEIGHTS_TABLES
    return installed if installed.is_file() else checkout


TRAINED = re.compile(r"_(best|last|final|[0-9]+)$")  # what training adds to the name of a cfg
SHIPPED_CLASSES = {80: "coco", 20: "voc", 3: "shapes"}  # what the networks of the shipped cfgs were trained on


def model_names(path: Path, classes: int, model: Path) -> tuple[str, ...]:
    """Return the names of a detector's classes.

    Args:
        path: The .names file.
        classes: Of the detector.
        model: The file that it comes from, for the error.

    Raises:
        DatasetError: The file has another number of names, or as `read_classes`.
    """
    names = read_classes(path)
    if len(names) != classes:
        raise DatasetError(f"{path}: found {counted(len(names), 'name')}, expected {classes} as in {model}")
    return names


def find_names(cfg: Path, weights: Path, classes: int) -> Path:
    """Return the .names file of a model without `--names`.

    The function looks in the folders of the cfg and of the weights, and in the one above a `backup` folder, for
    NAME.names of the cfg or the weights, then `names` of .data files, then .names files. It takes one with at least
    `classes` names; of several, the one with exactly as many. A shipped cfg has the names of its data set.

    Raises:
        DatasetError: There is none, or there are several that differ.
    """
    stems = dict.fromkeys(TRAINED.sub("", path.stem) for path in (cfg, weights))
    folders = list(dict.fromkeys(path.resolve().parent for path in (cfg, weights)))
    folders += [folder.parent for folder in folders if folder.name == "backup"]
    own = [folder / f"{stem}.names" for folder in folders for stem in stems]
    of_data_files = [names for folder in folders for data in visible(folder, "*.data") if (names := _names_of(data))]
    in_folders = [path for folder in folders for path in visible(folder, "*.names")]
    shipped = shipped_files(".cfg").get(cfg.stem)
    is_shipped = shipped is not None and shipped.resolve() == cfg.resolve()
    published = shipped_files(".names").get(SHIPPED_CLASSES.get(classes, cfg.stem)) if is_shipped else None
    for candidates in (own, [published] if published else [], of_data_files, in_folders):
        counts = {path: len(read_names(path)) for path in candidates if path.is_file()}
        found = [path for path, count in counts.items() if count == classes]
        found = found or [path for path, count in counts.items() if count > classes]
        if len({path.read_bytes() for path in found}) == 1:
            return found[0]
        if found:
            several = ", ".join(map(str, found[:3]))
            raise DatasetError(
                f"{cfg}: found several lists of names beside the model ({several}), expected --names FILE"
            )
    raise DatasetError(
        f"{cfg}: found no .data or .names file with {counted(classes, 'name')} beside the model, expected --names FILE"
    )


def _names_of(data: Path) -> Path | None:
    try:
        return read_data(data).names
    except (DatasetError, OSError):  # another user's file
        return None


# published weights

ROW = re.compile(r"^\|[^|]*\| `([^`|]+)` \| ([0-9,]+)( \(computed\))? \| (https?://[^| ]+) \|$", re.M)
CHUNK = 2**18  # bytes
PATIENCE = 30.0  # seconds without a byte
HEADERS_DIFFER = 4  # bytes between Darknet's two headers of .weights, by which a computed size can be wrong
RANGE_DONE = 416  # HTTP: the range begins where the file ends
FILE_ENDINGS = (".weights", ".safetensors", ".pt")  # a name that ends so is a file's
PARTIAL = 206  # HTTP: the answer is the rest of the file
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


@dataclass(frozen=True)
class PublishedFile:
    """A file of the table.

    size: bytes as published, None where the table's number is computed, not known; then least is what it has at least.
    """

    name: str
    size: int | None
    url: str
    least: int = 0


BACKBONE = re.compile(r".+\.conv\.([0-9]{1,4})")  # Darknet's name of a file that holds the first N layers


def find_weights(name: str, folder: Path, table: Path, progress: Progress) -> Path:
    """Return the file of a name: in `folder`, else beside the table, else downloaded into `folder`.

    Args:
        name: of a file or, without ending, of a model: `yolov4-tiny`, `darknet53.conv.74`.
        folder: where weights are kept.
        table: `weights/README.md`, the table of published files.
        progress: see `download`.

    Raises:
        WeightsError: the name is not in the table, or as `download` does.
    """
    for place in (folder, table.parent):  # our own weights are beside the table
        for path in (place / name, place / f"{name}.weights"):
            if path.is_file():
                return path
    files = published_files(table.read_text(encoding="utf-8"))
    if name not in files and Path(name).suffix in FILE_ENDINGS:
        raise WeightsError(f"{name}: No such file or directory")
    if name not in files:
        names = [each for each in files if not each.endswith(".weights")]
        close = get_close_matches(name, names, n=3, cutoff=SIMILARITY) or names
        raise WeightsError(
            f"{name}: found no such file and no published weights of this name, "
            f"expected a file or one of {', '.join(close)}"
        )
    return download(files[name], folder, progress)


def cutoff_of(path: Path | None) -> int | None:
    """Return N for a backbone's file called `NAME.conv.N`, None for others."""
    found = BACKBONE.fullmatch(path.name) if path else None
    return int(found[1]) if found else None


def chosen_cutoff(given: int | str | None, weights: Path | None) -> int | str | None:
    """Return the value of `--cutoff`: a number as given, else N of a backbone's file, else AUTO or None as given."""
    return given if isinstance(given, int) else cutoff_of(weights) or given


def published_files(table: str) -> dict[str, PublishedFile]:
    """Return the files of a table in Markdown by their names and, without ending, by the names of their models.

    A name whose ending is no `.weights` (`darknet53.conv.74`) is complete as it is.
    """
    files = {}
    for name, size, computed, url in ROW.findall(table):
        count = int(size.replace(",", ""))
        known = PublishedFile(name, count, url)
        file = PublishedFile(name, None, url, count - HEADERS_DIFFER) if computed else known
        files[name] = files[name.removesuffix(".weights")] = file
    return files


def download(file: PublishedFile, folder: Path, progress: Progress = lambda *_: None) -> Path:
    """Download a file into `folder`; an interrupted download continues where it stopped.

    Args:
        file: what to download.
        folder: the target; created if it does not exist.
        progress: called with the bytes so far and, where known, the bytes in all.

    Returns:
        The file's path. `NAME.sha256` beside it holds its SHA-256.

    Raises:
        WeightsError: the server cannot be reached or refuses, the file has another size than published, or another
            SHA-256 than the one beside it.
    """
    from http.client import HTTPException  # imported here, because most commands use this module only for names

    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        _fetch(file, part, progress)
    except (OSError, HTTPException) as error:  # urllib's errors are OSErrors, http.client's are not
        reason = getattr(error, "reason", None) or error
        begun = part.exists() and part.stat().st_size > 0
        hint = "the same command continues it" if begun else "download it by other means and put it there"
        raise WeightsError(f"{target}: not there, and {file.url} could not be downloaded ({reason}); {hint}") from None
    size = part.stat().st_size
    if size < file.least or file.size not in (None, size):
        kind = f" ({content})" if (content := named_content(part)) else ""
        expected = f"at least {file.least}" if file.size is None else file.size
        part.unlink()
        raise WeightsError(f"{file.url}: found {size} bytes{kind}, expected {expected}")
    digest = sha256_of(part)
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
    """Append the missing bytes to `part`; start again if the server does not continue."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    have = part.stat().st_size if part.exists() else 0
    request = Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=PATIENCE)
    except HTTPError as error:
        error.close()
        if have and error.code == RANGE_DONE:
            return
        raise
    with answer, part.open("ab" if answer.status == PARTIAL else "wb") as output:
        have = output.tell()
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else file.size
        while chunk := answer.read(CHUNK):
            with naming(part):
                output.write(chunk)
                output.flush()
            have += len(chunk)
            progress(have, total)
    if length and have < total:
        raise OSError(f"the connection ended after {have} of {total} bytes")
