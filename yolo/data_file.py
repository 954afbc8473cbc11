"""Darknet's `.data` file: where the lists, the names and the backup folder of a data set are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolo.cfg import Entry, Section, meaningful_lines, parse_entry
from yolo.errors import DatasetError, counted, shorten
from yolo.files.folders import visible
from yolo.files.located import locate, located, moved_file, tried_places
from yolo.files.text import read_text


@dataclass(frozen=True)
class DataFile:
    """A Darknet `.data` file: where the lists and names are. None for keys that the file does not have.

    difficult: AlexeyAB's list, parallel to `valid`; its labels are boxes that the evaluation ignores;
    labels: for classifiers, the names in the images' paths; they may differ from `names`, which are shown
    (classifier.c train_classifier);
    top: for classifiers, k of the top-k accuracy;
    name: of the data set, a key of this project's converters, else the file's name without its ending;
    entries: the lines of the file by their keys.
    """

    path: str
    classes: int
    train: Path | None
    valid: Path | None
    names: Path | None
    backup: Path | None
    difficult: Path | None
    labels: Path | None = None
    top: int | None = None
    name: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)


def read_data(path: str | Path) -> DataFile:
    """Read a `.data` file. Its relative paths are tried from the current folder, as Darknet does, then from its own.

    A folder means the one .data file in it.

    Raises:
        DatasetError: A line has no `=`, or `classes` is not a number of at least 1. The message names the line. Or a
            folder holds no .data file, or several.
    """
    path = _sole_data_file(Path(path)) if Path(path).is_dir() else path
    section = Section("", 1, str(path), error_type=DatasetError)
    for line, stripped in meaningful_lines(read_text(path), keep_whitespace=True):
        section.add(parse_entry(stripped, line, str(path), DatasetError))

    def location(*keys: str) -> Path | None:
        key = next((key for key in keys if section.has(key)), None)
        if key is None:
            return None
        found = locate(section.text(key), Path(path).parent)
        if moved := moved_file(section.text(key), str(Path(path).parent)):
            section.warn(key, f"read as {moved}, without the first folders, which are not there")
            return found
        if "\\" in section.text(key) and "\\" not in str(found):
            section.warn(key, f"read as {found} (a backslash does not separate folders here)")
        return found

    return DataFile(
        path=str(path),
        classes=section.integer("classes", minimum=1),
        train=location("train"),
        valid=location("valid"),
        names=location("names", "labels"),
        backup=location("backup"),
        difficult=location("difficult"),
        labels=location("labels", "names"),
        top=section.integer("top", minimum=1) if section.has("top") else None,
        name=section.text("name", Path(path).stem),
        entries={entry.key: entry for entry in reversed(section.entries)},
    )


def _sole_data_file(folder: Path) -> Path:
    files = visible(folder, "*.data")
    if len(files) != 1:
        found = ", ".join(each.name for each in files) or "none"
        raise DatasetError(f"{folder}: found {found}, expected one .data file in this folder, or the file itself")
    return files[0]


def check_data_files(data: DataFile, *keys: str) -> None:
    """Raise DatasetError, with the line and what was tried, if a file or folder that a key names is not there.

    Keys that the file does not have are skipped.
    """
    for key in keys:
        entry = data.entries.get(key)
        if entry is None or not entry.value:
            continue
        folder = Path(data.path).parent
        if located(entry.value, str(folder))[1] is None:
            place = f"{data.path}:{entry.line}: {key}: found {shorten(ascii(entry.value))}"
            raise DatasetError(f"{place}, expected a file that is there; {tried_places(entry.value, str(folder))}")


def check_names(data: DataFile, names: Sequence[str]) -> None:
    """Raise DatasetError unless there are as many names as a .data file has classes."""
    if len(names) != data.classes:
        place = f" in {data.names}" if data.names else ""
        found = f"classes={data.classes} and {counted(len(names), 'name')}{place}"
        raise DatasetError(f"{data.path}: found {found}, expected as many")


def check_classes(data: DataFile, classes: int, where: object) -> None:
    """Raise DatasetError unless a .data file has this number of classes; `where`: its source, for the message."""
    if data.classes != classes:
        raise DatasetError(f"{data.path}: found classes={data.classes}, expected {classes} as in {where}")
