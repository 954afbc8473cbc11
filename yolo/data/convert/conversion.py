"""Write a plan: split it, choose the folders of its labels, write all files, and describe the result."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.data.convert.homes import home_beside, image_folders, label_homes, own_homes
from yolo.data.convert.ownership import (
    RECORD,
    ConversionRecord,
    announce,
    conclude,
    earlier_records,
    other_user,
    refuse_inputs,
    require_own_lists,
)
from yolo.data.convert.plan import LabelHome, Plan, PlannedFiles, planned_lists, write_files
from yolo.data.convert.splitting import Split, group_of, split_plan

LISTS = ("train.txt", "valid.txt", "difficult.txt", "problems.txt", "repairs.txt", RECORD)  # files in --out
MOST_DEVIATIONS = 3.0  # standard deviations of the number of images that a random split scores on
SHOWN_MOVED = 5  # images that a split moved, in its line


@dataclass(frozen=True)
class Target:
    """Where a conversion writes. out: resolved folder; name: of the .names and .data file; title: of the data set.

    overwrite: replace files that this conversion did not write; keep_difficult: as for `planned_labels`.
    """

    out: Path
    name: str
    title: str
    overwrite: bool
    keep_difficult: bool = False

    @property
    def data(self) -> Path:
        """The .data file."""
        return self.out / f"{self.name}.data"

    @property
    def names(self) -> Path:
        """The file of class names."""
        return self.out / f"{self.name}.names"


def check_target(target: Target, inputs: Sequence[Path], names: Path | None) -> None:
    """Raise DatasetError if a file to write is an input; a .names file is written back as it was."""
    outputs = [target.out / each for each in LISTS] + [target.data]
    refuse_inputs(outputs, inputs if names is None else [*inputs, names])
    refuse_inputs([target.names], inputs)


def split_again(plan: Plan, out: Path, fraction: float, seed: int) -> tuple[Plan, Split]:
    """Split a plan by `split_plan`; images that an earlier split moved stay in their list.

    Args:
        plan: the plan, with one list.
        out: folder of the lists. Earlier splits of these images, there or elsewhere as `earlier_records` finds them,
            count only if they had the same fraction and seed; that of `out` counts most.
        fraction: fraction of the images to score on, above 0 and below 1.
        seed: of the hash.
    """
    folders = image_folders(plan)
    labels = [home.labels for home in map(home_beside, folders) if home]
    moved: dict[str, bool] = {}
    for old in reversed(earlier_records(out, folders, labels)):
        moved |= old.moved if (old.fraction, old.seed) == (fraction, seed) else {}
    return split_plan(plan, fraction, seed, moved)


def write_conversion(plan: Plan, target: Target, split: Split | None) -> dict[Path, LabelHome]:
    """Write a plan and return the home of each folder of images.

    Raises:
        DatasetError: Files would be replaced that this conversion did not write, and not `overwrite`.
        OSError: A file cannot be written.
    """
    homes = label_homes(plan, target.out)
    homes, labels = own_homes(plan, homes, target.data, target.keep_difficult, target.overwrite)
    lists = planned_lists(plan, homes, target.out, target.name, target.title, target.keep_difficult)
    _write(PlannedFiles(labels, lists), homes, target, _record(plan, split))
    return homes


def write_lists(plan: Plan, target: Target, split: Split | None) -> None:
    """Write the lists, names and .data file of images that have their labels. Raises as `write_conversion` does."""
    homes = {folder: LabelHome(folder, folder, folder) for folder in image_folders(plan)}
    lists = planned_lists(plan, homes, target.out, target.name, target.title, keep_difficult=True)
    _write(PlannedFiles({}, lists), {}, target, _record(plan, split))


def _record(plan: Plan, split: Split | None) -> ConversionRecord:
    folders = tuple(map(str, image_folders(plan)))
    if split is None:
        return ConversionRecord(folders=folders)
    return ConversionRecord({}, folders, split.fraction, split.seed, split.moved)


def _write(files: PlannedFiles, homes: dict[Path, LabelHome], target: Target, record: ConversionRecord) -> None:
    require_own_lists(files.lists, target.overwrite)
    announce(files, homes, record)
    write_files(files, homes)
    conclude(files, homes, record)


def split_note(plan: Plan, split: Split) -> list[str]:
    """Return lines on how a plan was split."""
    images = len(plan.train) + len(plan.valid)
    part = f"{len(plan.valid)} of {images} images ({len(plan.valid) / images:.1%})"
    lines = [f"split: {part} to score on, by a hash of their names, fraction {split.fraction:g}, seed {split.seed}"]
    if _is_unlikely(plan, split):
        lines.append(
            f"  far from that fraction: an earlier split with seed {split.seed} may have made this list; "
            f"--seed {split.seed + 1} splits it differently"
        )
    if split.moved:
        names = sorted(split.moved)
        shown = ", ".join([*names[:SHOWN_MOVED], *(["..."] if len(names) > SHOWN_MOVED else [])])
        lines.append(f"  moved, so that classes are in both lists: {shown}")
    return lines


def _is_unlikely(plan: Plan, split: Split) -> bool:
    """Whether the hashes put far more or fewer images in the list to score on than its fraction."""
    groups, scored = ({group_of(image.key) for image in images} for images in (plan.train + plan.valid, plan.valid))
    scored = len(scored) - sum(1 if to_valid else -1 for to_valid in split.moved.values())
    expected = split.fraction * len(groups)
    return abs(scored - expected) > MOST_DEVIATIONS * math.sqrt(expected * (1 - split.fraction))


def place_lines(homes: dict[Path, LabelHome], target: Target) -> list[str]:
    """Return lines on where labels and lists are."""
    lines = []
    for folder, home in homes.items():
        why = "" if home.images == folder else f" ({_why_linked(folder, target)})"
        lines.append(f"labels: {home.labels}{why}")
    return [*lines, f"lists, names, .data: {target.out}"]


def _why_linked(folder: Path, target: Target) -> str:
    beside = home_beside(folder)
    if beside is None:
        return f"with a link to {folder}"
    user = other_user(beside.labels, target.data)
    if user is None:
        return f"not beside the images: {beside.labels} or its folder is not writable"
    return f"not beside the images: {user} relies on {beside.labels}"


def next_lines(plan: Plan, target: Target) -> list[str]:
    """Return the commands that come next."""
    data = shlex.quote(str(target.data))
    return [
        f"next: yolo-darknet make_cfg --base yolov4-tiny --data {data} --out my.cfg",
        f"      yolo-darknet train --cfg my.cfg --data {data}",
        f"      (or a cfg of your own whose heads have classes={len(plan.names)})",
    ]
