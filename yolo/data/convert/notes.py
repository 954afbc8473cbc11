"""What a conversion tells of its plan, whatever it converts: tables, and what was left out or is not there.

Images are records with `is_there` and `path`, which is where a list says that they lie.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from yolo.records import Problem

NAMED = 3  # how many of many a line names

COLUMN = 9  # characters of a number's column


class Listed(Protocol):
    """An image of a list."""

    is_there: bool

    @property
    def path(self) -> str: ...


def columns(rows: Sequence[tuple]) -> str:
    """A row a line: its title, then numbers below each other."""
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{title:{width}}" + "".join(f"{value:>{COLUMN}}" for value in values)
        for title, *values in rows
    )


def problem_counts(problems: Iterable[Problem]) -> str:
    """`2 x missing annotation, 1 x unknown class`."""
    kinds = Counter(problem.kind for problem in problems)
    return ", ".join(f"{number} x {kind}" for kind, number in kinds.items())


def first_messages(problems: Sequence[Problem]) -> str:
    """The first few, told apart by semicolons."""
    shown = "; ".join(problem.message for problem in problems[:NAMED])
    return shown + ("; ..." if len(problems) > NAMED else "")


def missing(images: Iterable[Listed]) -> list[Listed]:
    """Those that are not there, each once."""
    return [image for image in dict.fromkeys(images) if not image.is_there]


def named(images: Sequence[Listed]) -> str:
    """The paths of the first few."""
    shown = ", ".join(image.path for image in images[:NAMED])
    return shown + (", ..." if len(images) > NAMED else "")


def notes(
    problems: Sequence[Problem], train: Sequence[Listed], valid: Sequence[Listed], out: Path
) -> list[str]:
    """What a user should know before training, a line each: left out, missing, in both sets."""
    lines = []
    if problems:
        lines.append(f"left out: {problem_counts(problems)}; all in {out / 'problems.txt'}")
        lines += [f"  {problem.message}" for problem in problems[:NAMED]]
    gone = missing((*train, *valid))
    if gone:
        lines.append(f"images not there: {len(gone)} ({named(gone)})")
    both = len(set(train) & set(valid))
    if both:
        lines.append(f"images in both train and valid: {both}; a score on these says little")
    return lines
