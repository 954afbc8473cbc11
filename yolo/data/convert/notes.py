"""What a conversion prints about its plan: why it stops, tables, what is left out or missing."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from yolo.data.convert.plan import Plan, PlannedImage
from yolo.errors import DatasetError
from yolo.records import Problem

NAMED = 3  # how many of many a line names
COLUMN = 9  # characters of a number's column


def require_usable(plan: Plan, skipped_kinds: Collection[str]) -> None:
    """Raise DatasetError if the plan has a problem of a kind that is not skipped."""
    if any(problem.kind not in skipped_kinds for problem in plan.problems):
        shown = "; ".join(_first_few([problem.message for problem in plan.problems]))
        raise DatasetError(
            f"{problem_counts(plan.problems)}, nothing was written: {shown}. "
            "Correct them, or leave them out with --on-problem skip"
        )


def require_images(plan: Plan, all_there: bool) -> None:
    """Raise DatasetError for a list without images, and, if `all_there`, for images without a file."""
    for option, images in (("--train", plan.train), ("--valid", plan.valid)):
        if not images:
            why = f": {plan.problems[0].message}" if plan.problems else ""
            raise DatasetError(f"no image is left for {option}, nothing was written{why}")
    gone = missing(plan.train + plan.valid)
    if all_there and gone:
        raise DatasetError(f"{len(gone)} images are not there, nothing was written: {named(gone)}")


def plan_table(plan: Plan, difficult: str, keep_difficult: bool = False) -> str:
    """Return a table of images and objects per class, a column each for train and valid.

    difficult: title of the row of difficult boxes; keep_difficult: count them as objects of their classes too.
    """
    splits = (plan.train, plan.valid)
    objects = [[row for image in split for row in image.rows] for split in splits]
    counted = [[row for row in rows if keep_difficult or not row.difficult] for rows in objects]
    ordinary = [Counter(row.label for row in rows) for rows in counted]
    table = [("", "train", "valid"), ("images", *map(len, splits))]
    for label, name in enumerate(plan.names):
        table.append((name, *(counter[label] for counter in ordinary)))
    table += [("objects", *map(len, counted))]
    table += [(difficult, *(sum(row.difficult for row in rows) for rows in objects))]
    table += [("left out", *(sum(image.left_out for image in split) for split in splits))]
    return columns(table)


def columns(rows: Sequence[tuple]) -> str:
    """Return one line per row: its title, then its values in columns."""
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{title:{width}}" + "".join(f"{value:>{COLUMN}}" for value in values) for title, *values in rows)


def problem_counts(problems: Iterable[Problem]) -> str:
    """Return for instance `2 x missing annotation, 1 x unknown class`."""
    kinds = Counter(problem.kind for problem in problems)
    return ", ".join(f"{number} x {kind}" for kind, number in kinds.items())


def missing(images: Iterable[PlannedImage]) -> list[PlannedImage]:
    """Return the images without a file, each once."""
    return [image for image in dict.fromkeys(images) if not image.is_there]


def named(images: Sequence[PlannedImage]) -> str:
    """Return the paths of the first few images."""
    return ", ".join(_first_few([image.path for image in images]))


def _first_few(texts: Sequence[str]) -> Sequence[str]:
    return [*texts[:NAMED], "..."] if len(texts) > NAMED else texts


def notes(plan: Plan, out: Path) -> list[str]:
    """Return lines on what a user should know before training: left out, missing, in both lists."""
    lines = []
    if plan.problems:
        counts = problem_counts(plan.problems)
        lines.append(f"left out: {counts}; all in {out / 'problems.txt'}")
        lines += [f"  {problem.message}" for problem in plan.problems[:NAMED]]
    gone = missing(plan.train + plan.valid)
    if gone:
        lines.append(f"images not there: {len(gone)} ({named(gone)})")
    both = len(set(plan.train) & set(plan.valid))
    if both:
        lines.append(f"images in both train and valid: {both}; their score is too high")
    return lines
