"""A hierarchy of classes, as YOLO9000 has it: its file, its softmax, and what a class's probability is along its path.

Functions take values along one axis, `dim`, of N classes; all other axes are kept.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from yolo.errors import DatasetError

ROW = re.compile(r"(\S+)\s+(-?[0-9]{1,9})", re.ASCII)  # name, parent

TREE_THRESH = 0.5  # how likely a child must be to go on to it (pjreddie detector.c hier_thresh)

NONE = -1  # stands for the parent of a root, and for the children of a leaf

SHOWN_CHARACTERS = 60  # of a faulty line, in an error's one line


@dataclass(frozen=True)
class Tree:
    """N classes in G groups (tree.c); the classes of a group follow each other and have one parent, or none.

    names: of the classes; levels: classes on the longest way from a root to a leaf;
    parent, group, child: int64 `[N]`, a class's parent class, its group and the group of its children, else -1;
    group_offset, group_size: int64 `[G]`, a group's first class and how many it has; leaf: bool `[N]`.
    """

    names: tuple[str, ...]
    levels: int
    parent: Tensor
    group: Tensor
    child: Tensor
    group_offset: Tensor
    group_size: Tensor
    leaf: Tensor


def read_tree(path: str | Path) -> Tree:
    """Read a file of lines `name parent`, the parent as the number of its line counted from 0, -1 for a root.

    As tree.c read_tree, which takes whatever stands there. Raises DatasetError with file and line for a line of
    another form, a parent that does not come before, and a class whose siblings stand further above, apart from
    it; and for a file without a line.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetError(f"{path}: found no line, expected one a class: name parent")
    names: list[str] = []
    parents: list[int] = []
    seen: set[int] = set()
    for index, line in enumerate(lines):
        name, parent, fault = _row(line, index)
        if not fault and parent in seen and parent != parents[-1]:
            fault = f"found a child of {parent} apart from its siblings, expected them together"
        if fault:
            raise DatasetError(f"{path}:{index + 1}: {fault}")
        names.append(name)
        parents.append(parent)
        seen.add(parent)
    return _grow(tuple(names), parents)


def read_class_map(path: str | Path, classes: int) -> Tensor:
    """Read a file of one number a line, the class of the tree that this label is: int64 `[L]` (utils.c read_map).

    Raises DatasetError with file and line for what is no class from 0 to classes-1, and for a file without a line.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")
    expected = f"a class from 0 to {classes - 1}"
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not (text.isascii() and text.isdigit() and int(text[:SHOWN_CHARACTERS]) < classes):
            found = text[:SHOWN_CHARACTERS]
            raise DatasetError(f"{path}:{number}: found {found!r}, expected {expected}")
    return torch.tensor([int(line) for line in lines])


def group_softmax(logits: Tensor, tree: Tree, dim: int) -> Tensor:
    """Softmax within each group: the probability of a class, given its parent (softmax_layer.c, region_layer.c).

    Of the shape of `logits`.
    """
    values = logits.movedim(dim, -1)
    group = tree.group.to(values.device)
    groups = (*values.shape[:-1], len(tree.group_size))
    largest = values.new_zeros(groups).scatter_reduce(
        -1, group.expand_as(values), values.detach(), "amax", include_self=False
    )
    powers = torch.exp(values - largest[..., group])
    sums = powers.new_zeros(groups).index_add(-1, group, powers)
    return (powers / sums[..., group]).movedim(-1, dim)


def group_log_softmax(logits: Tensor, tree: Tree, dim: int) -> Tensor:
    """Logarithm of `group_softmax`, finite where a probability is too small for a float."""
    values = logits.movedim(dim, -1)
    group = tree.group.to(values.device)
    groups = (*values.shape[:-1], len(tree.group_size))
    largest = values.new_zeros(groups).scatter_reduce(
        -1, group.expand_as(values), values.detach(), "amax", include_self=False
    )
    below = values - largest[..., group]
    sums = below.new_zeros(groups).index_add(-1, group, below.exp())
    return (below - sums.log()[..., group]).movedim(-1, dim)


def class_paths(classes: Tensor, tree: Tree) -> Tensor:
    """Classes `[K]` → each with its ancestors, itself first, `[K, levels]`; after a root comes NONE."""
    parent = torch.cat((tree.parent, tree.parent.new_tensor([NONE]))).to(classes.device)
    path = [classes]
    for _ in range(tree.levels - 1):
        path.append(parent[path[-1]])  # NONE, the last place, leads to itself
    return torch.stack(path, dim=1)


def path_probabilities(probs: Tensor, tree: Tree, dim: int) -> Tensor:
    """Each class's probability times those of all its ancestors (tree.c hierarchy_predictions).

    probs: of each class, given its parent, as `group_softmax` gives them; the result has their shape.
    """
    values = probs.movedim(dim, -1)
    top = len(tree.names)  # above the roots, with probability 1
    products = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)
    above = torch.where(tree.parent == NONE, top, tree.parent)
    above = torch.cat([above, above.new_tensor([top])]).to(values.device)
    for _ in range((tree.levels - 1).bit_length()):
        products = products * products[..., above]  # of twice as many classes each time
        above = above[above]
    return products[..., :top].movedim(-1, dim)


def best_class(probs: Tensor, tree: Tree, threshold: float, dim: int) -> Tensor:
    """The class found by going down from the roots to the best child, as long as that is likely enough: int64.

    Going on takes that the product of the `probs` passed, with the child's, is above `threshold` (at least 0); the
    best root is taken in any case (tree.c hierarchy_top_prediction). Of equals the first is best.
    region_layer.c get_region_detections hands it what `path_probabilities` gives, so that ancestors count repeatedly.
    The result has all axes of `probs` but `dim`.
    """
    values = probs.movedim(dim, -1)
    group, child = tree.group.to(values.device), tree.child.to(values.device)
    # the group to choose from, NONE where the way has ended
    here = torch.zeros_like(values[..., 0], dtype=torch.int64)
    path = torch.ones_like(values[..., 0])
    chosen = here
    for level in range(tree.levels):
        value, best = torch.where(group == here[..., None], values, -1.0).max(dim=-1)
        reached = path * value > threshold
        chosen = best if level == 0 else torch.where(reached, best, chosen)
        path = torch.where(reached, path * value, path)
        here = torch.where(reached, child[best], NONE)
    return chosen


def best_class_one_hot(class_probs: Tensor, tree: Tree) -> Tensor:
    """Probabilities along the paths `[..., N]` → 1 for the one class that a box is named after, 0 for all others.

    So that a score is the objectness alone, as pjreddie's Darknet has it (region_layer.c get_region_detections); going
    down by probabilities that hold those of the ancestors already, it stops early. AlexeyAB's names the last class in
    the file above .5, with its probability as the score.
    """
    best = best_class(class_probs, tree, TREE_THRESH, dim=-1)
    return torch.zeros_like(class_probs).scatter_(-1, best[..., None], 1.0)


def _row(line: str, index: int) -> tuple[str, int, str | None]:
    """Name, parent and, of a line that is none, the fault."""
    row = ROW.fullmatch(line.strip())
    if row is None:
        return "", NONE, f"found {line.strip()[:SHOWN_CHARACTERS]!r}, expected name parent"
    name, parent = row[1], int(row[2])
    if not NONE <= parent < index:
        before = f"a line before, 0 to {index - 1}, or {NONE}" if index else f"{NONE}, a root"
        return "", NONE, f"found parent {parent}, expected {before}"
    return name, parent, None


def _grow(names: tuple[str, ...], parents: list[int]) -> Tree:
    """What follows from each class's parent."""
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent == NONE else depths[parent] + 1)
    parent = torch.tensor(parents)
    firsts, group, group_size = torch.unique_consecutive(
        parent, return_inverse=True, return_counts=True
    )
    child = torch.full_like(parent, NONE)
    child[firsts[1:]] = torch.arange(1, len(firsts))  # group 0 is that of the roots
    return Tree(
        names=names,
        levels=max(depths),
        parent=parent,
        group=group,
        child=child,
        group_offset=group_size.cumsum(0) - group_size,
        group_size=group_size,
        leaf=child == NONE,
    )
