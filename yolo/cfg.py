"""Darknet's text files → records: `.cfg` sections with typed getters that remember what was read, `.data`, `.names`.

Grammar as in Darknet (pjreddie and AlexeyAB, src/parser.c read_cfg and src/option_list.c): blanks count nowhere, a
line that starts with `#` or `;` is a comment, the first of several equal keys wins, and a number ends at a `#`.
Where Darknet reads on after a mistake (a line without `=`, a word where a number belongs), this raises.
"""

import math
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from yolo.errors import CfgError, DatasetError

BLANKS = {ord(blank): None for blank in " \t\r\n\f\v"}

INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?", re.ASCII)

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)

MAX_INTEGER = 2**31 - 1  # Darknet keeps integers in a C int

MAX_NUMBER_LENGTH = 64  # characters; ours, as no written number needs more

MAX_LIST_LENGTH = (
    10_000  # of one list; ours: the longest known, a count for each class of YOLO9000, has 9,418
)

MAX_LINES = 100_000  # ours: the longest published cfg has some 4,000

MAX_FILE_SIZE = 16 * 2**20  # bytes; ours: the largest published cfg has some 50,000

SHOWN_CHARACTERS = 60  # of a faulty value, in an error's one line


class Entry(NamedTuple):
    """One `key=value` line."""

    key: str
    value: str
    line: int

    def __str__(self) -> str:
        return f"{_shown(self.key)}={_shown(self.value)} (line {self.line})"


@dataclass(frozen=True)
class KeySpec:
    """How a key was asked for: the form that its value must have, and what holds without the key (None: required)."""

    form: str
    default: object


@dataclass
class Section:
    """One `[kind]` block: its entries in file order, and which keys were asked for, and how.

    Getters return the value of the first entry called `key`, or `default`; where `default` is None the key is
    required. They raise `error_type` with file, line and key for a value of the wrong kind.
    """

    kind: str
    line: int
    path: str
    entries: list[Entry] = field(default_factory=list)
    error_type: type[ValueError] = CfgError
    read_keys: dict[str, KeySpec] = field(default_factory=dict)
    _first: dict[str, Entry] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first = {}
        given, self.entries = self.entries, []
        for entry in given:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Append an entry; the first of its key is the one that counts."""
        self.entries.append(entry)
        self._first.setdefault(entry.key, entry)

    def has(self, key: str) -> bool:
        """Whether the section names `key`; counts as reading nothing."""
        return key in self._first

    def text(self, key: str, default: str | None = None) -> str:
        """The value as it stands, without blanks."""
        entry = self._take(key, default, "text")
        return default if entry is None else entry.value

    def integer(self, key: str, default: int | None = None, minimum: int | None = None) -> int:
        """A whole number of at least `minimum`."""
        entry = self._take(key, default, _form("whole number", minimum))
        if entry is None:
            return default
        value = self._integer(entry, entry.value.partition("#")[0])
        if minimum is not None and value < minimum:
            raise self.error(key, f"a whole number of at least {minimum}")
        return value

    def number(self, key: str, default: float | None = None, minimum: float | None = None) -> float:
        """A finite number of at least `minimum`."""
        entry = self._take(key, default, _form("number", minimum))
        if entry is None:
            return default
        value = self._number(entry, entry.value.partition("#")[0])
        if minimum is not None and value < minimum:
            raise self.error(key, f"a number of at least {minimum}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """0 or another whole number, as Darknet's switches are written."""
        value = bool(self.integer(key, int(default)))
        self.read_keys[key] = KeySpec("0 or 1", int(default))
        return value

    def choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of the words in `allowed`."""
        value = self.text(key, default)
        self.read_keys[key] = KeySpec("one of " + ", ".join(allowed), default)
        if value not in allowed:
            raise self.error(key, "one of " + ", ".join(allowed))
        return value

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Whole numbers separated by commas."""
        entry = self._take(key, default, "whole numbers")
        if entry is None:
            return default
        return tuple(self._integer(entry, item) for item in self._items(entry))

    def numbers(self, key: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Finite numbers separated by commas."""
        entry = self._take(key, default, "numbers")
        if entry is None:
            return default
        return tuple(self._number(entry, item) for item in self._items(entry))

    def error(self, key: str, expected: str, found: str | None = None) -> ValueError:
        """The error to raise about `key`: where it stands, what was found, what was expected."""
        entry = self._first.get(key)
        line = self.line if entry is None else entry.line
        if found is None:
            found = "nothing" if entry is None else repr(_shown(entry.value))
        where = f"{self.path}:{line}: [{self.kind}]" if self.kind else f"{self.path}:{line}:"
        return self.error_type(f"{where} {key}: found {found}, expected {expected}")

    def unread(self) -> list[Entry]:
        """Entries that no getter asked for, and repetitions of a key with another value, which never count."""
        return [
            entry
            for entry in self.entries
            if entry.key not in self.read_keys or entry.value != self._first[entry.key].value
        ]

    def _take(self, key: str, default: object, form: str) -> Entry | None:
        self.read_keys[key] = KeySpec(form, default)
        entry = self._first.get(key)
        if entry is None and default is None:
            raise self.error(key, "a value")
        return entry

    def _items(self, entry: Entry) -> list[str]:
        text = entry.value.partition("#")[0].removesuffix(",")  # Darknet passes over a last comma
        if text.count(",") >= MAX_LIST_LENGTH:
            raise self.error(entry.key, f"at most {MAX_LIST_LENGTH} numbers")
        return text.split(",")

    def _integer(self, entry: Entry, text: str) -> int:
        written = len(text) <= MAX_NUMBER_LENGTH and INTEGER.fullmatch(text)
        if not written or abs(float(text)) > MAX_INTEGER:
            raise self.error(entry.key, "a whole number", repr(_shown(text)))
        return int(text.partition(".")[0])

    def _number(self, entry: Entry, text: str) -> float:
        written = len(text) <= MAX_NUMBER_LENGTH and NUMBER.fullmatch(text)
        if not written or not math.isfinite(float(text)):
            raise self.error(entry.key, "a number", repr(_shown(text)))
        return float(text)


def parse_cfg(text: str, path: str) -> list[Section]:
    """The sections of a cfg's text, in order; the first is `[net]` (or `[network]`).

    Raises CfgError, naming `path` and the line, for a line that is no section, comment or `key=value`, for a key
    before the first section and for a file that does not begin with [net].
    """
    if text.count("\n") >= MAX_LINES:
        raise CfgError(f"{path}: found more than {MAX_LINES} lines, expected the text of a cfg")
    sections: list[Section] = []
    for line, stripped in _meaningful_lines(text):
        if stripped.startswith("["):
            if not stripped.endswith("]") or len(stripped) > SHOWN_CHARACTERS:
                raise CfgError(f"{path}:{line}: found {_shown(stripped)!r}, expected [section]")
            sections.append(Section(stripped[1:-1], line, path))
            continue
        entry = _entry(stripped, line, path, CfgError)
        if not sections:
            found = f"{_shown(stripped)!r} before the first [section]"
            raise CfgError(f"{path}:{line}: found {found}, expected [net]")
        sections[-1].add(entry)
    if not sections:
        raise CfgError(f"{path}: found no [section], expected [net] and the layers after it")
    if sections[0].kind not in ("net", "network"):
        raise CfgError(
            f"{path}:{sections[0].line}: found [{sections[0].kind}], expected [net] first"
        )
    return sections


def override(sections: list[Section], values: dict[str, str]) -> list[Section]:
    """The sections with other values of [net] keys; a command line is how they are said to be read from."""
    net, *layers = sections
    given = [Entry(key, value, net.line) for key, value in values.items()]
    kept = [entry for entry in net.entries if entry.key not in values]
    return [replace(net, entries=given + kept, read_keys={}), *layers]


def read_cfg(path: str | Path) -> list[Section]:
    """`parse_cfg` of a file. Bytes that are no UTF-8 (comments in old encodings) do no harm."""
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise CfgError(
            f"{path}: found more than {MAX_FILE_SIZE} bytes, expected the text of a cfg; is it a .weights file?"
        )
    return parse_cfg(content.decode("utf-8-sig", errors="replace"), str(path))


@dataclass(frozen=True)
class DataFile:
    """A Darknet `.data` file: where the lists and names are. None where the file has no such key.

    `difficult` is AlexeyAB's list, parallel to `valid`: its labels are the boxes that count neither way.
    `labels` and `top` are a classifier's: the names that its images' paths hold, which may be others than those to
    show (classifier.c train_classifier), and how many of the likeliest classes may hold the right one.
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


def read_data(path: str | Path) -> DataFile:
    """Read a `.data` file. Relative paths in it are tried from the current folder, as Darknet does, then from its own.

    Raises DatasetError with file and line for a line without `=` and for `classes` that is no number of at least 1.
    """
    section = Section("", 1, str(path), error_type=DatasetError)
    for line, stripped in _meaningful_lines(
        Path(path).read_text(encoding="utf-8-sig", errors="replace"), keep_blanks=True
    ):
        section.add(_entry(stripped, line, str(path), DatasetError))

    def location(*keys: str) -> Path | None:
        key = next((key for key in keys if section.has(key)), None)
        return None if key is None else locate(section.text(key), Path(path).parent)

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
    )


def locate(text: str, folder: Path) -> Path:
    """The path that `text` means in a file of `folder`: from the current folder if it is there, else from `folder`."""
    path = Path(os.path.expanduser(text))  # as it is where there is no such user
    # os.path says of a name that is too long that it is not there; Path would raise
    if path.is_absolute() or os.path.exists(path) or not os.path.exists(folder / path):
        return path
    return folder / path


def read_names(path: str | Path) -> list[str]:
    """Class names, one a line; blank lines at the end do not count.

    Raises DatasetError when there is none, or one that cannot be printed: it would steer whoever's terminal shows it.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DatasetError(f"{path}: found no class name, expected one a line")
    for number, name in enumerate(names, start=1):
        if not name.isprintable():
            found = f"found class name {_shown(ascii(name))}"
            raise DatasetError(f"{path}:{number}: {found}, expected one that can be printed")
    return names


def _meaningful_lines(text: str, keep_blanks: bool = False) -> list[tuple[int, str]]:
    """(line number, text) of the lines that are neither empty nor comments."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip() if keep_blanks else line.translate(BLANKS)
        if stripped and stripped[0] not in "#;\0":
            found.append((number, stripped))
    return found


def _entry(stripped: str, line: int, path: str, error_type: type[ValueError]) -> Entry:
    key, equals, value = (part.strip() for part in stripped.partition("="))
    if not (key and equals and value):
        raise error_type(f"{path}:{line}: found {_shown(stripped)!r}, expected key=value")
    return Entry(key, value, line)


def _form(kind: str, minimum: float | None) -> str:
    return kind if minimum is None else f"{kind}, at least {minimum}"


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
