"""Class hierarchies, as in YOLO9000: their files, the softmax of a hierarchy, probabilities along paths.

Tensors have the N classes in their last dimension.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.errors import DatasetError, shorten

ROW = re.compile(r"(\S+)\s+(-?[0-9]{1,9})", re.ASCII)  # name, parent
TREE_THRESH = 0.5  # pjreddie detector.c hier_thresh: a box gets a child's name above it
NONE = -1  # the parent of a root, and the children of a leaf


@dataclass(frozen=True)
class Tree:
    """N classes in groups of siblings (tree.c). The classes of a group are consecutive and have the same parent.

    names: of the classes; levels: number of classes on the longest path from a root to a leaf; groups: their number;
    parent, group, child: int64 `[N]`, each class's parent, its group, and the group of its children (-1 for none);
    leaf: bool `[N]`.
    """

    names: tuple[str, ...]
    levels: int
    groups: int
    parent: Tensor
    group: Tensor
    child: Tensor
    leaf: Tensor


def read_tree(path: str | Path) -> Tree:
    """Read a file of lines `name parent`; parent is the line number of the parent class from 0, or -1 for a root.

    Raises:
        DatasetError: The file has no line, a line has another form, a parent does not come before its child, or the
            children of a class are not consecutive. tree.c read_tree accepts all of these.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetError(f"{path}: found no line, expected one per class: name parent")
    names: list[str] = []
    parents: list[int] = []
    seen: set[int] = set()
    for index, line in enumerate(lines):
        where = f"{path}:{index + 1}"
        name, parent = _parse_row(line, index, where)
        if parent in seen and parent != parents[-1]:
            found = f"a child of {parent} that does not follow its siblings"
            raise DatasetError(f"{where}: found {found}, expected siblings together")
        names.append(name)
        parents.append(parent)
        seen.add(parent)
    return _build_tree(tuple(names), parents)


def read_class_map(path: str | Path, classes: int) -> Tensor:
    """Read a file with the tree's class of each label, one number per line: int64 `[L]` (utils.c read_map).

    Raises:
        DatasetError: The file has no line, or a line is not a class from 0 to classes-1.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")
    expected = f"a class from 0 to {classes - 1}"
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < classes):
            raise DatasetError(f"{path}:{number}: found {shorten(text)!r}, expected {expected}")
    return torch.tensor([int(line) for line in lines])


def group_softmax(logits: Tensor, tree: Tree) -> Tensor:
    """Apply softmax in each group, `[..., N]`: the probability of a class given its parent.

    Source: softmax_layer.c, region_layer.c.
    """
    _, powers, sums = _exponentials(logits, tree)
    return powers / sums[..., tree.group.to(logits.device)]


def group_log_softmax(logits: Tensor, tree: Tree) -> Tensor:
    """Return the logarithm of `group_softmax`, finite even if the probability is 0 in float32."""
    shifted, _, sums = _exponentials(logits, tree)
    return shifted - sums.log()[..., tree.group.to(logits.device)]


def _exponentials(logits: Tensor, tree: Tree) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits minus the maximum of their group `[..., N]`, their exp `[..., N]` and its sums `[..., groups]`."""
    if torch.onnx.is_in_onnx_export():
        return _exponentials_by_steps(logits, tree)
    group = tree.group.to(logits.device)
    shape = (*logits.shape[:-1], tree.groups)
    largest = logits.new_zeros(shape).scatter_reduce(
        -1, group.expand_as(logits), logits.detach(), "amax", include_self=False
    )
    shifted = logits - largest[..., group]
    powers = torch.exp(shifted)
    return shifted, powers, powers.new_zeros(shape).index_add(-1, group, powers)


def _exponentials_by_steps(logits: Tensor, tree: Tree) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same by operators that ONNX has: each step joins a class with the one 1, 2, 4 … places after it.

    Classes of a group are consecutive, so that the first class of each group has joined all of them after
    log2(size of the largest group) steps.
    """
    sizes = torch.bincount(tree.group)
    first = torch.cumsum(sizes, 0) - sizes
    count, steps = len(tree.group), (int(sizes.max()) - 1).bit_length()
    place = torch.arange(count)
    end = (first + sizes)[tree.group]  # of each class's group
    outside = count  # index of a value that changes nothing
    behind = [torch.where(place + 2**step < end, place + 2**step, outside) for step in range(steps)]
    largest = logits
    for each in behind:
        largest = torch.maximum(largest, _with(largest, -math.inf)[..., each])
    shifted = logits - largest[..., first][..., tree.group]
    powers = sums = torch.exp(shifted)
    for each in behind:
        sums = sums + _with(sums, 0.0)[..., each]
    return shifted, powers, sums[..., first]


def _with(values: Tensor, last: float) -> Tensor:
    """Return values `[..., N]` with one more at the end of the last dimension."""
    return F.pad(values, (0, 1), value=last)


def class_paths(classes: Tensor, tree: Tree) -> Tensor:
    """Return each class followed by its ancestors: classes `[K]` → `[K, levels]`, filled with NONE after a root."""
    parent = torch.cat((tree.parent, tree.parent.new_tensor([NONE]))).to(classes.device)
    path = [classes]
    for _ in range(tree.levels - 1):
        path.append(parent[path[-1]])  # the last entry of `parent`, index NONE, is NONE
    return torch.stack(path, dim=1)


def path_probabilities(probs: Tensor, tree: Tree) -> Tensor:
    """Return each class's probability times those of all its ancestors (tree.c hierarchy_predictions).

    probs: `[..., N]`, the probability of each class given its parent, as `group_softmax` returns it.
    """
    root = len(tree.names)  # index of a parent of all roots, with probability 1
    products = torch.cat([probs, torch.ones_like(probs[..., :1])], dim=-1)
    above = torch.where(tree.parent == NONE, root, tree.parent)
    above = torch.cat([above, above.new_tensor([root])]).to(probs.device)
    for _ in range((tree.levels - 1).bit_length()):
        products = products * products[..., above]  # doubles the number of ancestors each time
        above = above[above]
    return products[..., :root]


def best_class(probs: Tensor, tree: Tree, threshold: float) -> Tensor:
    """Go down from the most probable root to the most probable child, as long as that is probable enough.

    A step down requires that the product of the probabilities passed and the child's is above `threshold` (at least
    0). The best root is taken in any case (tree.c hierarchy_top_prediction); of equal probabilities the first.
    region_layer.c get_region_detections passes what `path_probabilities` returns, so ancestors count repeatedly.

    Args:
        probs: `[..., N]`.
        tree: the hierarchy.
        threshold: see above.

    Returns:
        The last class of the path, int64 `[...]`.
    """
    group, child = tree.group.to(probs.device), tree.child.to(probs.device)
    # the group to choose from, NONE where the path has ended
    current = torch.zeros_like(probs[..., 0], dtype=torch.int64)
    path = torch.ones_like(probs[..., 0])
    chosen = current
    for level in range(tree.levels):
        value, best = torch.where(group == current[..., None], probs, -1.0).max(dim=-1)
        reached = path * value > threshold
        chosen = best if level == 0 else torch.where(reached, best, chosen)
        path = torch.where(reached, path * value, path)
        current = torch.where(reached, child[best], NONE)
    return chosen


def best_class_one_hot(class_probs: Tensor, tree: Tree) -> Tensor:
    """Return 1 for the class that a box is assigned and 0 for all others, `[..., N]` → `[..., N]`.

    A box's score is then its objectness alone, as in pjreddie's Darknet (region_layer.c get_region_detections), which
    stops early on its way down because `class_probs`, from `path_probabilities`, already contain the ancestors.
    AlexeyAB's Darknet takes the last class in the file above .5, with its probability as the score.
    """
    best = best_class(class_probs, tree, TREE_THRESH)
    return torch.zeros_like(class_probs).scatter_(-1, best[..., None], 1.0)


def _parse_row(line: str, index: int, where: str) -> tuple[str, int]:
    """Return name and parent of line number `index`."""
    row = ROW.fullmatch(line.strip())
    if row is None:
        found = shorten(line.strip())
        raise DatasetError(f"{where}: found {found!r}, expected name parent")
    name, parent = row[1], int(row[2])
    if not NONE <= parent < index:
        expected = f"a line before, 0 to {index - 1}, or {NONE}" if index else f"{NONE}, a root"
        raise DatasetError(f"{where}: found parent {parent}, expected {expected}")
    return name, parent


def _build_tree(names: tuple[str, ...], parents: list[int]) -> Tree:
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent == NONE else depths[parent] + 1)
    parent = torch.tensor(parents)
    firsts, group = torch.unique_consecutive(parent, return_inverse=True)
    child = torch.full_like(parent, NONE)
    child[firsts[1:]] = torch.arange(1, len(firsts))  # group 0 is that of the roots
    return Tree(
        names=names,
        levels=max(depths),
        groups=len(firsts),
        parent=parent,
        group=group,
        child=child,
        leaf=child == NONE,
    )
