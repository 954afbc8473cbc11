"""Split images into a list to train on and a list to score on, by a hash of their names.

An image's list depends on its name and the seed, and on no other image: more images move none. Which share of a class
is in the list to score on therefore varies by chance. Stratified means two promises besides: each class with two
images or more is in both lists, if the images allow it, and an image that was moved for this stays there in later
splits into the same folder. Only such images may change lists in another folder.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from yolo.data.convert.plan import Plan

ROBOFLOW_COPY = re.compile(r"\.rf\.[0-9A-Za-z]+$")  # Roboflow's augmented copies: NAME.rf.HASH.jpg
RANGE = 2**64  # of the hashes


@dataclass(frozen=True)
class Split:
    """How a plan was split. share: of the images, to score on. moved: key → whether it was moved to that list.

    Keys are the images' keys; the moved ones are where they are so that each class is in both lists.
    """

    share: float
    seed: int
    moved: dict[str, bool]


def split_plan(plan: Plan, share: float, seed: int, moved: Mapping[str, bool]) -> tuple[Plan, Split]:
    """Split the images of a plan anew.

    Args:
        plan: Its `train` and `valid` are taken together.
        share: Of the images, to score on; above 0 and below 1.
        seed: Another one gives another split.
        moved: Of an earlier split with this share and seed; these images stay where they are.

    Returns:
        The plan with other lists, and how it was split.
    """
    images = tuple(dict.fromkeys(plan.train + plan.valid))
    classes: dict[str, set[int]] = {}
    for image in images:
        classes.setdefault(group_of(image.key), set()).update(row.label for row in image.rows)
    valid = {group: moved.get(group, hash_of(group, seed) < share) for group in classes}
    now_moved = {group: moved[group] for group in classes if group in moved}
    for group in _to_move(classes, valid, seed, now_moved):
        now_moved[group] = valid[group]
    lists = [tuple(image for image in images if valid[group_of(image.key)] is which) for which in (False, True)]
    return replace(plan, train=lists[0], valid=lists[1]), Split(share, seed, now_moved)


def hash_of(name: str, seed: int) -> float:
    """Return a number from 0 on and below 1 that depends on a name and a seed only (SHA-256)."""
    digest = hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / RANGE


def group_of(key: str) -> str:
    """Return the name that an image shares with its augmented copies, which would give a score that is too high."""
    return ROBOFLOW_COPY.sub("", key)


def _to_move(
    classes: Mapping[str, Collection[int]], valid: dict[str, bool], seed: int, fixed: Collection[str]
) -> Sequence[str]:
    """Move groups in `valid` so that each class is in both lists, and both have an image; return those moved.

    Rare classes come first; of a class, the group whose hash is nearest to the threshold. A group that is the last of
    another class in its list stays.
    """
    groups: dict[int, list[str]] = {}
    for group in sorted(classes, key=lambda each: hash_of(each, seed)):
        for label in classes[group]:
            groups.setdefault(label, []).append(group)
    moved = []
    everything = sorted(classes, key=lambda each: hash_of(each, seed))
    for members in (*sorted(groups.values(), key=len), everything):
        for wanted in (True, False):
            if any(valid[group] is wanted for group in members):
                continue
            nearest_first = members if wanted else members[::-1]
            for group in nearest_first:
                if group not in fixed and len(members) > 1 and _may_leave(group, classes, groups, valid):
                    valid[group] = wanted
                    moved.append(group)
                    break
    return moved


def _may_leave(
    group: str, classes: Mapping[str, Collection[int]], groups: Mapping[int, Sequence[str]], valid: Mapping[str, bool]
) -> bool:
    """Whether every class of a group has another group in the same list."""
    here = valid[group]
    return all(any(valid[each] is here and each != group for each in groups[label]) for label in classes[group])
