"""Format what a conversion prints about its plan: why it stops, tables, what is left out or missing."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from yolo.data.convert.plan import Plan, PlannedImage
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError, counted
from yolo.records import Problem

SPLIT_HINT = "--split 0.2 scores on a fifth of the images"
NAMED = 3  # examples in a line
COLUMN = 9  # characters of a number's column


def require_usable(plan: Plan, skipped_kinds: Collection[str]) -> None:
    """Raise DatasetError if the plan has a problem of a kind that is not skipped."""
    if any(problem.kind not in skipped_kinds for problem in plan.problems):
        shown = "; ".join(_first_few([problem.message for problem in plan.problems]))
        raise DatasetError(
            f"{problem_counts(plan.problems)}, nothing was written: {shown}. "
            "Correct them, or leave them out with --on-problem skip"
        )


def require_images(plan: Plan, all_there: bool, wanted: Collection[str] = ("--train", "--valid")) -> None:
    """Raise DatasetError for a list without images, and, if `all_there`, for images without a file.

    wanted: the options whose lists must have an image.
    """
    for option, images in (("--train", plan.train), ("--valid", plan.valid)):
        if not images and option in wanted:
            why = f": {plan.problems[0].message}" if plan.problems else ""
            raise DatasetError(f"no image is left for {option}, nothing was written{why}")
    gone = missing(plan.train + plan.valid)
    if all_there and gone:
        there = "is" if len(gone) == 1 else "are"
        raise DatasetError(f"{counted(len(gone), 'image')} {there} not there, nothing was written: {named(gone)}")


def require_any_image(plan: Plan) -> None:
    """Raise DatasetError for a list without any existing image, if the folder of one of them exists."""
    for images in (plan.train, plan.valid):
        folders = dict.fromkeys(image.folder for image in images)
        if any(image.is_there for image in images) or not any(folder.is_dir() for folder in folders):
            continue
        found = f"found none of the {counted(len(images), 'image')} in {next(iter(folders))}, nothing was written"
        raise DatasetError(f"{found}: expected {named(images[:1])} or another ending ({' '.join(IMAGE_ENDINGS)})")


def plan_table(plan: Plan, difficult: str, keep_difficult: bool = False) -> str:
    """Return a table of images and objects per class, a column each for train and valid, if there is a valid list.

    difficult: title of the row of difficult boxes; keep_difficult: count them as objects of their classes too.
    """
    splits = _splits(plan)
    objects = [[row for image in split for row in image.rows] for split in splits.values()]
    table = _class_rows(plan, keep_difficult)
    table += [(difficult, *(sum(row.difficult for row in rows) for rows in objects))]
    table += [("left out", *(sum(image.left_out for image in split) for split in splits.values()))]
    for title in ("clipped", "turned"):
        numbers = [sum(getattr(image, title) for image in split) for split in splits.values()]
        table += [(title, *numbers)] if any(numbers) else []
    return columns(table)


def list_table(plan: Plan) -> str:
    """Return a table of images and objects per class, a column for each list."""
    return columns(_class_rows(plan, keep_difficult=True))


def _splits(plan: Plan) -> dict[str, Sequence[PlannedImage]]:
    return {"train": plan.train, "valid": plan.valid} if plan.valid else {"train": plan.train}


def _class_rows(plan: Plan, keep_difficult: bool) -> list[tuple]:
    splits = _splits(plan)
    counted = [
        [row.label for image in split for row in image.rows if keep_difficult or not row.difficult]
        for split in splits.values()
    ]
    ordinary = [*map(Counter, counted)]
    classes = [(name, *(counter[label] for counter in ordinary)) for label, name in enumerate(plan.names)]
    images = ("images", *map(len, splits.values()))
    return [("", *splits), images, *classes, ("objects", *map(len, counted))]


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
    """Return lines to print before training: what is left out, missing, or in both lists."""
    lines = []
    if plan.problems:
        counts = problem_counts(plan.problems)
        lines.append(f"left out: {counts}; all in {out / 'problems.txt'}")
        lines += [f"  {problem.message}" for problem in plan.problems[:NAMED]]
    lines += repair_notes(plan.repairs, out)
    gone = missing(plan.train + plan.valid)
    if gone:
        lines.append(f"images not there: {len(gone)} ({named(gone)})")
    both = len(set(plan.train) & set(plan.valid))
    if both:
        lines.append(f"images in both train and valid: {both}; their score is too high")
    if not plan.valid:
        lines.append(f"no valid list: training computes no score and keeps no best weights; {SPLIT_HINT}")
    return lines


def repair_notes(repairs: Sequence[Problem], out: Path) -> list[str]:
    """Return lines on what was repaired or is unusual, with the first of each kind."""
    if not repairs:
        return []
    first: dict[str, str] = {}
    for repair in repairs:
        first.setdefault(repair.kind, repair.message)
    counts = f"repaired or unusual: {problem_counts(repairs)}; all in {out / 'repairs.txt'}"
    return [counts, *(f"  {kind}: {message}" for kind, message in first.items())]
