"""Darknet's `.cfg`: sections with typed getters. The lines of a `.data` file are read in the same way.

The grammar is Darknet's (pjreddie and AlexeyAB, src/parser.c read_cfg and src/option_list.c): whitespace is ignored
everywhere, a line that starts with `#` or `;` is a comment, the first of several equal keys counts, and a number ends
at a `#`. Darknet skips mistakes (a line without `=`, a word in place of a number); here they are errors. Letters after
a number (`16000d`) are logged and skipped, as C's atoi and atof do.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, TypeVar

from yolo.errors import CfgError, shorten
from yolo.files.contents import open_input
from yolo.files.text import decoded_text, printable_text
from yolo.names_file import read_names as read_names  # README showed this path; scripts use it

log = logging.getLogger(__name__)

WHITESPACE = {ord(character): None for character in " \t\r\n\f\v"}
INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?", re.ASCII)
C_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)  # what C's atoi takes
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
MAX_INTEGER = 2**31 - 1  # Darknet keeps integers in a C int
UNITS = ("e", "k", "m", "g", "kb", "mb", "gb")  # after a number they give another number, which Darknet does not read
Number = TypeVar("Number", int, float)

# Our own limits, so that a wrong or damaged file gives a short error.
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

    def first(self, key: str) -> Entry | None:
        """Return the entry of `key` that counts, None without one. The key is not marked as read."""
        return self._first.get(key)

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
        """Return finite numbers, separated by commas in the file. empty: the value between two adjacent commas."""

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
    """Return a text for an error about a number: Darknet reads the number at the beginning of `text`, or 0."""
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
    for line, stripped in meaningful_lines(text):
        if stripped.startswith("["):
            if not stripped.endswith("]") or len(stripped) > MAX_KIND_LENGTH:
                raise CfgError(f"{path}:{line}: found {shorten(stripped)!r}, expected [section]")
            sections.append(Section(stripped[1:-1], line, path))
            continue
        entry = parse_entry(stripped, line, path, CfgError)
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
    """Return suggestions for an unknown key of a section: this key of other kinds, or a similar one."""
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


def meaningful_lines(text: str, keep_whitespace: bool = False) -> list[tuple[int, str]]:
    """Return (line number, text) of the lines that are neither empty nor comments.

    keep_whitespace: inside a line, as a .data file has it in names of files.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip() if keep_whitespace else line.translate(WHITESPACE)
        if stripped and stripped[0] not in "#;\0":
            found.append((number, stripped))
    return found


def parse_entry(text: str, line: int, path: str, error_type: type[ValueError]) -> Entry:
    """Return the entry of a line.

    Args:
        text: of the line, without white space around it.
        line: its number.
        path: of the file, for the error.
        error_type: of the error.

    Raises:
        error_type: the line is no `key=value`.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise error_type(f"{path}:{line}: found {shorten(text)!r}, expected key=value")
    return Entry(key, value, line)
