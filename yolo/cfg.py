"""Darknet's text files as records: `.cfg` sections with typed getters, `.data`, `.names`.

The grammar is Darknet's (pjreddie and AlexeyAB, src/parser.c read_cfg and src/option_list.c): whitespace is ignored
everywhere, a line that starts with `#` or `;` is a comment, the first of several equal keys counts, and a number ends
at a `#`. Darknet skips mistakes (a line without `=`, a word in place of a number); here they are errors. Letters after
a number (`16000d`) are logged and skipped, as C's atoi and atof do.
"""

import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, TypeVar

from yolo.errors import CfgError, DatasetError, counted, shorten
from yolo.files.contents import open_input
from yolo.files.folders import visible
from yolo.files.located import file_state
from yolo.files.text import decoded_text, printable_text, read_text

log = logging.getLogger(__name__)

WHITESPACE = {ord(character): None for character in " \t\r\n\f\v"}
INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?", re.ASCII)
C_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)  # what C's atoi takes
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
MAX_INTEGER = 2**31 - 1  # Darknet keeps integers in a C int
UNITS = ("e", "k", "m", "g", "kb", "mb", "gb")  # after a number they mean another one, which Darknet does not read
Number = TypeVar("Number", int, float)

# Limits that are not Darknet's, so that a wrong file or a damaged one is a short error.
MAX_FILE_SIZE = 16 * 2**20  # bytes; the largest published cfg has about 50,000
MAX_LINES = 100_000  # the longest published cfg has about 4,000
MAX_KIND_LENGTH = 60  # characters of a [section] line
MAX_LIST_LENGTH = 10_000  # the longest known, one count per class of YOLO9000, has 9,418
MAX_NUMBER_LENGTH = 64  # characters


class Entry(NamedTuple):
    """One `key=value` line."""

    key: str
    value: str
    line: int

    def __str__(self) -> str:
        return f"{shorten(self.key)}={shorten(self.value)} (line {self.line})"


@dataclass(frozen=True)
class KeySpec:
    """How a key was read: what its value must be, in words, and its default (None: the key is required)."""

    form: str
    default: object


@dataclass
class Section:
    """One `[kind]` block: its entries in file order, and which keys were read so far.

    Getters return the value of the first entry with that key, or `default`; if `default` is None the key is required.
    They raise `error_type` with file, line and key for a value of the wrong kind.
    """

    kind: str
    line: int
    path: str
    entries: list[Entry] = field(default_factory=list)
    error_type: type[ValueError] = CfgError
    read_keys: dict[str, KeySpec] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    _first: dict[str, Entry] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first = {}
        given, self.entries = self.entries, []
        for entry in given:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Append an entry; the getters use the first entry of each key."""
        self.entries.append(entry)
        self._first.setdefault(entry.key, entry)

    def has(self, key: str) -> bool:
        """Return whether the section has `key`, without marking the key as read."""
        return key in self._first

    def text(self, key: str, default: str | None = None) -> str:
        """Return the value as text."""
        entry = self._take(key, default, "text")
        return default if entry is None else entry.value

    def integer(self, key: str, default: int | None = None, minimum: int | None = None) -> int:
        """Return an integer of at least `minimum`."""
        return self._single(key, default, minimum, "whole number", self._integer)

    def number(self, key: str, default: float | None = None, minimum: float | None = None) -> float:
        """Return a finite number of at least `minimum`."""
        return self._single(key, default, minimum, "number", self._number)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return False for 0 and True for any other integer, as Darknet does."""
        value = bool(self.integer(key, int(default)))
        self.read_keys[key] = KeySpec("0 or 1", int(default))
        return value

    def choice(self, key: str, default: str, allowed: tuple[str, ...], darknet: str = "") -> str:
        """Return one of the words in `allowed`.

        Args:
            key: the key.
            default: the value without the key.
            allowed: the words that the key may have.
            darknet: the word that Darknet uses in place of an unknown one, for the error message.

        Raises:
            CfgError: the value is none of the words.
        """
        value = self.text(key, default)
        self.read_keys[key] = KeySpec("one of " + ", ".join(allowed), default)
        if value not in allowed:
            instead = f"; Darknet takes {darknet} instead" if darknet else ""
            raise self.error(key, "one of " + ", ".join(allowed) + instead)
        return value

    def choice_or_default(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """Return one of the words in `allowed`; for another word log a warning and return `default`."""
        value = self.text(key, default)
        self.read_keys[key] = KeySpec("one of " + ", ".join(allowed), default)
        if value in allowed:
            return value
        self.warn(key, f"expected one of {', '.join(allowed)}; {default} is taken, as Darknet does")
        return default

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return integers, separated by commas in the file."""
        return self._list(key, default, "whole numbers", self._integer)

    def numbers(
        self, key: str, default: tuple[float, ...] | None = None, empty: float | None = None
    ) -> tuple[float, ...]:
        """Return finite numbers, separated by commas in the file. empty: what nothing between two commas is."""

        def parse(entry: Entry, text: str) -> float:
            return empty if empty is not None and not text else self._number(entry, text)

        return self._list(key, default, "numbers", parse)

    def error(self, key: str, expected: str, found: str | None = None) -> ValueError:
        """Return the error to raise for `key`.

        Args:
            key: the key; the line of its first entry is named, or the section's without one.
            expected: what the value must be.
            found: what is wrong; None for the value itself.
        """
        return self.error_type(f"{self._found(key, found)}, expected {expected}")

    def warn(self, key: str, message: str, found: str | None = None) -> None:
        """Log a warning about `key` once; its line and value come before `message`. found: as in `error`."""
        if key not in self.warned:
            self.warned.add(key)
            log.warning("%s, %s", self._found(key, found), message)

    def _found(self, key: str, found: str | None) -> str:
        entry = self._first.get(key)
        line = self.line if entry is None else entry.line
        if found is None:
            found = "nothing" if entry is None else repr(shorten(entry.value))
        where = f"{self.path}:{line}: [{self.kind}]" if self.kind else f"{self.path}:{line}:"
        return f"{where} {key}: found {found}"

    def unread(self) -> list[Entry]:
        """Return the entries that no getter read, and repetitions of a key with another value, which are ignored."""
        return [
            entry
            for entry in self.entries
            if entry.key not in self.read_keys or entry.value != self._first[entry.key].value
        ]

    def _single(
        self,
        key: str,
        default: Number | None,
        minimum: Number | None,
        what: str,
        parse: Callable[[Entry, str], Number],
    ) -> Number:
        form = what if minimum is None else f"{what}, at least {minimum}"
        entry = self._take(key, default, form)
        if entry is None:
            return default
        value = parse(entry, entry.value.partition("#")[0])
        if minimum is not None and value < minimum:
            raise self.error(key, f"a {what} of at least {minimum}")
        return value

    def _list(
        self,
        key: str,
        default: tuple[Number, ...] | None,
        what: str,
        parse: Callable[[Entry, str], Number],
    ) -> tuple[Number, ...]:
        entry = self._take(key, default, what)
        if entry is None:
            return default
        text = entry.value.partition("#")[0].removesuffix(",")  # Darknet ignores a comma at the end
        if text.count(",") >= MAX_LIST_LENGTH:
            raise self.error(key, f"at most {MAX_LIST_LENGTH} numbers")
        return tuple(parse(entry, item) for item in text.split(","))

    def _take(self, key: str, default: object, form: str) -> Entry | None:
        self.read_keys[key] = KeySpec(form, default)
        entry = self._first.get(key)
        if entry is None and default is None:
            raise self.error(key, "a value")
        return entry

    def _integer(self, entry: Entry, text: str) -> int:
        written = self._without_letters(entry, text, INTEGER)
        if not INTEGER.fullmatch(written) or abs(float(written)) > MAX_INTEGER:
            raise self.error(entry.key, "a whole number" + _as_darknet(text, C_INTEGER), repr(shorten(text)))
        return int(written.partition(".")[0])

    def _number(self, entry: Entry, text: str) -> float:
        written = self._without_letters(entry, text, NUMBER)
        if not NUMBER.fullmatch(written) or not math.isfinite(float(written)):
            raise self.error(entry.key, "a number" + _as_darknet(text, NUMBER), repr(shorten(text)))
        return float(written)

    def _without_letters(self, entry: Entry, text: str, form: re.Pattern[str]) -> str:
        """Return the number at the start of `text` if only letters follow; log them. Otherwise return `text`."""
        if len(text) > MAX_NUMBER_LENGTH:
            return ""
        found = form.match(text)
        letters = text[found.end() :] if found else ""
        if not (letters.isascii() and letters.isalpha()) or letters.lower() in UNITS:
            return text
        self.warn(entry.key, f"read as {found[0]}, as Darknet does", repr(text))
        return found[0]


def _as_darknet(text: str, form: re.Pattern[str]) -> str:
    """Return what an error about a number says of Darknet, which reads the number that `text` begins with, or 0."""
    if len(text) > MAX_NUMBER_LENGTH or form.fullmatch(text) or not text.isascii():
        return ""
    if text.lower().lstrip("+-").startswith(("nan", "inf")) and form is NUMBER:
        return ""
    found = form.match(text)
    return f"; Darknet reads {found[0] if found else 0}"


def parse_cfg(text: str, path: str) -> list[Section]:
    """Return the sections of a cfg's text in order; the first is `[net]` (or `[network]`).

    Raises:
        CfgError: A line is neither a section nor a comment nor `key=value`, a key comes before the first section, or
            the first section is not [net]. The message names `path` and the line.
    """
    if text.count("\n") >= MAX_LINES:
        raise CfgError(f"{path}: found more than {MAX_LINES} lines, expected the text of a cfg")
    sections: list[Section] = []
    for line, stripped in _meaningful_lines(text):
        if stripped.startswith("["):
            if not stripped.endswith("]") or len(stripped) > MAX_KIND_LENGTH:
                raise CfgError(f"{path}:{line}: found {shorten(stripped)!r}, expected [section]")
            sections.append(Section(stripped[1:-1], line, path))
            continue
        entry = _entry(stripped, line, path, CfgError)
        if not sections:
            found = f"{shorten(stripped)!r} before the first [section]"
            raise CfgError(f"{path}:{line}: found {found}, expected [net]")
        sections[-1].add(entry)
    if not sections:
        raise CfgError(f"{path}: found no [section], expected [net] and the layers after it")
    if sections[0].kind not in ("net", "network"):
        raise CfgError(f"{path}:{sections[0].line}: found [{sections[0].kind}], expected [net] first")
    return sections


def override(sections: Sequence[Section], values: Mapping[str, str]) -> list[Section]:
    """Return the sections with other values, given on a command line. The argument is not changed.

    Args:
        sections: of a cfg, [net] first.
        values: by key: `batch` of [net], `yolo.iou_loss` of every [yolo], `yolo:16.iou_loss` of the [yolo] that is
            layer 16, counted as in Darknet's layer table: without [net], from 0.

    Raises:
        CfgError: the cfg has no such section.
    """
    given: dict[int, dict[str, str]] = {}
    for key, value in values.items():
        numbers, name = _overridden(sections, key)
        for number in numbers:
            given.setdefault(number, {})[name] = value
    return [
        _with_values(section, given[number]) if number in given else section for number, section in enumerate(sections)
    ]


def check_overrides(sections: Sequence[Section], values: Mapping[str, str]) -> None:
    """Raise CfgError for an override that no getter read, after the network was built from `sections`."""
    for key, value in values.items():
        numbers, name = _overridden(sections, key)
        for section in (sections[number] for number in numbers):
            if name not in section.read_keys:
                close = _similar_keys(sections, section, name)
                hint = f"; did you mean {' or '.join(close)}?" if close else ""
                raise CfgError(
                    f"{section.path}: found {key}={value} for [{section.kind}], expected a key that is read{hint}"
                )


def _similar_keys(sections: Sequence[Section], section: Section, name: str) -> list[str]:
    """Return what may have been meant by an unknown key of a section: this key of other kinds, or a similar one."""
    elsewhere = {other.kind for other in sections if name in other.read_keys}
    if elsewhere:
        return [f"{kind}.{name}" for kind in sorted(elsewhere)]
    prefix = "" if section is sections[0] else f"{section.kind}."
    return [f"{prefix}{close}" for close in get_close_matches(name, section.read_keys, n=1)]


def _overridden(sections: Sequence[Section], key: str) -> tuple[list[int], str]:
    """Return which sections (0 is [net]) an override changes, and the key in them."""
    where, dot, name = key.rpartition(".")
    if not dot:
        return [0], key
    kind, colon, number = where.partition(":")
    same = [index for index, section in enumerate(sections) if section.kind == kind]
    if not same:
        kinds = sorted({section.kind for section in sections})
        close = get_close_matches(kind, kinds, n=1)
        hint = f"did you mean {key.replace(kind, close[0], 1)}?" if close else f"expected one of {', '.join(kinds)}"
        raise CfgError(f"{sections[0].path}: found {key}, but no section [{kind}]; {hint}")
    if not colon:
        return same, name
    layers = [str(index - 1) for index in same]
    if number not in layers:
        raise CfgError(f"{sections[0].path}: found {key}, expected the number of a [{kind}] layer: {', '.join(layers)}")
    return [int(number) + 1], name


def _with_values(section: Section, values: Mapping[str, str]) -> Section:
    given = [Entry(key, value, section.line) for key, value in values.items()]
    kept = [entry for entry in section.entries if entry.key not in values]
    return replace(section, entries=given + kept, read_keys={}, warned=set())


def read_cfg(path: str | Path) -> list[Section]:
    """Return `parse_cfg` of a file."""
    return parse_cfg(read_cfg_text(path), str(path))


def read_cfg_text(path: str | Path) -> str:
    """Return the text of a cfg. Bytes that are not UTF-8 (comments in old encodings) are replaced.

    Raises CfgError for a file that is no text of a cfg.
    """
    with open_input(path) as file:
        content = file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise CfgError(
            f"{path}: found more than {MAX_FILE_SIZE} bytes, expected the text of a cfg; is it a .weights file?"
        )
    return printable_text(decoded_text(content, path, CfgError))


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
    for line, stripped in _meaningful_lines(read_text(path), keep_whitespace=True):
        section.add(_entry(stripped, line, str(path), DatasetError))

    def location(*keys: str) -> Path | None:
        key = next((key for key in keys if section.has(key)), None)
        if key is None:
            return None
        found = locate(section.text(key), Path(path).parent)
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

    Keys that the file does not have are passed over.
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
    """Raise DatasetError unless a .data file has this number of classes; `where` is what has it, for the message."""
    if data.classes != classes:
        raise DatasetError(f"{data.path}: found classes={data.classes}, expected {classes} as in {where}")


def tried_places(text: str, folder: str) -> str:
    """Return where `located` looked for a file that is not there, for a message."""
    path = os.path.expanduser(text)
    places = [path] if os.path.isabs(path) else [os.path.abspath(path), os.path.abspath(os.path.join(folder, path))]
    hint = "; a backslash does not separate folders here, with / instead it is not there either" if "\\" in text else ""
    return f"looked for {' and '.join(dict.fromkeys(places))}{hint}"


def locate(text: str, folder: Path) -> Path:
    """Return the path that `text` means in a file of `folder`: from the current folder if it exists, else `folder`.

    Backslashes, which Windows has between folders, are taken for slashes where only then a file is there.
    """
    return Path(located(text, str(folder))[0])


def located(text: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the path that `locate` returns, and the state of the file; None if there is none."""
    path = os.path.expanduser(text)  # unchanged if there is no such user
    state = file_state(path)
    if state:
        return path, state
    if os.path.isabs(path):
        return _with_slashes(path, "")
    inside = os.path.join(folder, path)
    state = file_state(inside)
    if state:
        return inside, state
    return _with_slashes(path, folder)


def _with_slashes(path: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return as `located` does a path that is not there as it is."""
    if "\\" not in path:
        return path, None
    slashed = path.replace("\\", "/")
    for candidate in (slashed, os.path.join(folder, slashed)):
        if state := file_state(candidate):
            return candidate, state
    return path, None


def read_names(path: str | Path) -> list[str]:
    """Return the class names of a file, one per line; empty lines at the end are ignored.

    Raises:
        DatasetError: There is no name, or one with unprintable characters, which could control a terminal.
    """
    lines = printable_text(read_text(path)).splitlines()
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DatasetError(f"{path}: found no class name, expected one per line")
    for number, name in enumerate(names, start=1):
        if not name.isprintable():
            found = f"found class name {shorten(ascii(name))}"
            raise DatasetError(f"{path}:{number}: {found}, expected printable characters")
    return names


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the classes of a .names file, in the order of their numbers.

    Raises:
        DatasetError: There is no class, or a class occurs twice, so that its number is ambiguous.
    """
    names = read_names(path)
    for line, name in enumerate(names, 1):
        first = names.index(name) + 1
        if first != line:
            raise DatasetError(f"{path}:{line}: {name!r} is line {first} already, expected it once")
    return tuple(names)


def _meaningful_lines(text: str, keep_whitespace: bool = False) -> list[tuple[int, str]]:
    """Return (line number, text) of the lines that are neither empty nor comments."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip() if keep_whitespace else line.translate(WHITESPACE)
        if stripped and stripped[0] not in "#;\0":
            found.append((number, stripped))
    return found


def _entry(stripped: str, line: int, path: str, error_type: type[ValueError]) -> Entry:
    key, equals, value = (part.strip() for part in stripped.partition("="))
    if not (key and equals and value):
        raise error_type(f"{path}:{line}: found {shorten(stripped)!r}, expected key=value")
    return Entry(key, value, line)
