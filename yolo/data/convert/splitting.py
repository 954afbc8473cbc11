"""Split images into a list to train on and a list to score on, by a hash of their names.

An image's list depends only on its name and the seed. So new images do not move others, and the fraction of a class in
the list to score on varies by chance. The split is stratified in one way: if a class would be in one list only, one of
its images is moved, provided that the class has two images and the list to score on does not become much larger. A
moved image stays there in later splits of the same images, if the record of the earlier split is found: it is in the
same folder or in one beside it, or the labels are the same files.
"""

import hashlib
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from yolo.data.convert.plan import Plan

ROBOFLOW_COPY = re.compile(r"\.rf\.[0-9A-Za-z]+$")  # Roboflow's augmented copies: NAME.rf.HASH.jpg
RANGE = 2**64  # of the hashes
MOST_MOVED = 0.25  # ours: the list to score on may grow by a quarter, so that it has rare classes
OWN_LISTS = {"valid": ("valid", "val", "validation"), "test": ("test", "testing")}  # folders; anything else is to train
PARTS_OF_LAYOUTS = (  # names of folders with images or labels, in lower case
    *("images", "image", "imgs", "img", "jpegimages", "raw"),
    *("annotations", "annotation", "annots", "annot", "labels", "label", "xml", "xmls"),
)


@dataclass(frozen=True)
class Split:
    """How a plan was split. fraction: of the images, to score on. moved: key → whether it was moved to that list.

    Keys are the images' keys; the moved ones are where they are so that each class is in both lists.
    """

    fraction: float
    seed: int
    moved: dict[str, bool]


def split_plan(plan: Plan, fraction: float, seed: int, moved: Mapping[str, bool]) -> tuple[Plan, Split]:
    """Split the images of a plan again.

    Args:
        plan: Its `train` and `valid` are taken together.
        fraction: Of the images, to score on; above 0 and below 1.
        seed: Another one gives another split.
        moved: Of an earlier split with this fraction and seed; these images stay where they are.

    Returns:
        The plan with other lists, and how it was split.
    """
    images = tuple(dict.fromkeys(plan.train + plan.valid))
    classes: dict[str, set[int]] = {}
    for image in images:
        classes.setdefault(group_of(image.key), set()).update(row.label for row in image.rows)
    valid = {group: moved.get(group, hash_of(group, seed) < fraction) for group in classes}
    if len(valid) == 1:
        valid = dict.fromkeys(valid, False)  # a single image is to train on
    now_moved = {group: moved[group] for group in classes if group in moved}
    for group in _to_move(classes, valid, fraction, seed, now_moved):
        now_moved[group] = valid[group]
    lists = [tuple(image for image in images if valid[group_of(image.key)] is which) for which in (False, True)]
    return replace(plan, train=lists[0], valid=lists[1]), Split(fraction, seed, now_moved)


def key_of(path: str) -> str:
    """Return the key of a file by its path in its data set: without ending, and without folders such as `images`.

    So an image has the same key in every layout of a data set.
    """
    *folders, name = PurePosixPath(path).parts
    return "/".join((*(each for each in folders if each.lower() not in PARTS_OF_LAYOUTS), os.path.splitext(name)[0]))


def own_list_of(key: str) -> str:
    """Return the data set's own list of an image, by its first folder: train, valid or test."""
    first, _, inside = key.partition("/")
    return next((split for split, names in OWN_LISTS.items() if inside and first.lower() in names), "train")


def hash_of(name: str, seed: int) -> float:
    """Return a number from 0 on and below 1 that depends on a name and a seed only (SHA-256)."""
    digest = hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / RANGE


def group_of(key: str) -> str:
    """Return the common name of an image and its augmented copies. Copies in both lists make a score too high."""
    return ROBOFLOW_COPY.sub("", key)


def _to_move(
    classes: Mapping[str, Collection[int]], valid: dict[str, bool], fraction: float, seed: int, fixed: Collection[str]
) -> Sequence[str]:
    """Move groups in `valid` so that each class is in both lists, and both have an image; return those moved.

    Frequent classes come first; of a class, the group whose hash is nearest to the threshold. A group that is the last
    of another class in its list stays, and the list to score on grows by MOST_MOVED of its fraction at most.

    Args:
        classes: Group → its classes.
        valid: Group → whether it is in the list to score on. It is changed.
        fraction: Of the list to score on.
        seed: Of the hashes.
        fixed: Groups that stay where they are.
    """
    everything = sorted(classes, key=lambda each: hash_of(each, seed))
    groups: dict[int, list[str]] = {}
    for group in everything:
        for label in classes[group]:
            groups.setdefault(label, []).append(group)
    room = 1 + math.ceil(MOST_MOVED * fraction * len(classes))
    moved = []
    for members in (*sorted(groups.values(), key=len, reverse=True), everything):
        for wanted in (False, True):
            if any(valid[group] is wanted for group in members) or (wanted and room <= 0):
                continue
            nearest_first = members if wanted else members[::-1]
            free = (each for each in nearest_first if each not in fixed and _may_leave(each, classes, groups, valid))
            group = next(free, None)
            if group is not None and len(members) > 1:
                valid[group] = wanted
                moved.append(group)
                room -= wanted
    return moved


def _may_leave(
    group: str, classes: Mapping[str, Collection[int]], groups: Mapping[int, Sequence[str]], valid: Mapping[str, bool]
) -> bool:
    """Whether every class of a group has another group in the same list."""
    here = valid[group]
    return all(any(valid[each] is here and each != group for each in groups[label]) for label in classes[group])
