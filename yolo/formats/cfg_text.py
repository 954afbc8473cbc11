"""Edit the text of a `.cfg`: values change line by line, comments and all other text stay."""

from collections.abc import Mapping
from typing import NamedTuple

from yolo.cfg import Section, parse_cfg

REMOVED = "# "  # beginning of a line that no longer counts


class CfgChange(NamedTuple):
    """One edited line. line: its number in the new text; before, after: the value, None for no such key."""

    line: int
    kind: str
    key: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        before = "none" if self.before is None else self.before
        after = "none" if self.after is None else self.after
        return f"line {self.line}: [{self.kind}] {self.key}: {before} -> {after}"


def edit_cfg(text: str, path: str, values: Mapping[int, Mapping[str, str | None]]) -> tuple[str, list[CfgChange]]:
    """Return the text of a cfg with other values, and what changed, in the order of the lines.

    A key that the section has gets its new value on its own line (of several equal keys the first one counts, as in
    Darknet). A new key goes below the last entry of its section. None turns a key's lines into comments. A value that
    is already there is no change.

    Args:
        text: of the cfg.
        path: of the cfg, for messages.
        values: number of the section, 0 for [net], to keys and their values as text.

    Raises:
        CfgError: the text is no cfg.
        IndexError: there is no section of a number.
    """
    sections = parse_cfg(text, path)
    lines = text.split("\n")
    new_lines: list[tuple[int, str]] = []  # (index of the line above, text), from the top
    edits: list[tuple[int, Section, str, str | None, str | None]] = []  # index, ...
    for number in sorted(values):
        section = sections[number]
        for key, value in values[number].items():
            entries = [entry for entry in section.entries if entry.key == key]
            if not entries:
                if value is not None:
                    last = section.entries[-1].line if section.entries else section.line
                    new_lines.append((last - 1, f"{key}={value}"))
                    edits.append((last - 1, section, key, None, value))
                continue
            if value is None:
                for entry in entries:
                    lines[entry.line - 1] = REMOVED + lines[entry.line - 1]
            elif _same(entries[0].value, value):
                continue
            else:
                lines[entries[0].line - 1] = _with_value(lines[entries[0].line - 1], value)
            edits.append((entries[0].line - 1, section, key, entries[0].value, value))
    return _assembled(lines, new_lines), _changes(edits, new_lines)


def _same(written: str, value: str) -> bool:
    """Whether two values are equal: as text without spaces, or as lists of numbers (.1 is 0.1)."""
    texts = ["".join(each.split()) for each in (written, value)]
    if texts[0] == texts[1]:
        return True
    try:
        one, other = ([float(each) for each in text.split(",")] for text in texts)
    except ValueError:
        return False
    return one == other


def _with_value(line: str, value: str) -> str:
    """Return the line with another value; blanks around the equals sign and a carriage return at the end stay."""
    name, _, old = line.partition("=")
    blanks = old[: len(old) - len(old.lstrip(" \t"))]
    return f"{name}={blanks}{value}" + ("\r" if line.endswith("\r") else "")


def _assembled(lines: list[str], new_lines: list[tuple[int, str]]) -> str:
    """Return the lines with the new ones below the lines that they belong to."""
    below: dict[int, list[str]] = {}
    for index, line in new_lines:
        below.setdefault(index, []).append(line + ("\r" if lines[index].endswith("\r") else ""))
    return "\n".join(each for at, line in enumerate(lines) for each in (line, *below.get(at, ())))


def _changes(
    edits: list[tuple[int, Section, str, str | None, str | None]], new_lines: list[tuple[int, str]]
) -> list[CfgChange]:
    """Return the edits with line numbers of the new text."""
    changes, added = [], {}
    for index, section, key, before, after in edits:
        above = sum(at < index for at, _ in new_lines)
        own = 0
        if before is None:  # a new line: below line `index` and the new lines that came before it there
            own = added[index] = added.get(index, 0) + 1
        changes.append(CfgChange(index + 1 + above + own, section.kind, key, before, after))
    return sorted(changes)
