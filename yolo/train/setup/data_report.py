"""What is told before the first step: problems of the data set, how the anchors fit it, the memory it will take.

Pure functions that give tables and lines; whoever starts the run prints them, and decides whether it starts.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from terminaltables import AsciiTable

from yolo.data.anchors import AnchorFit, HeadAnchors, fit_of, kmeans_anchors
from yolo.data.check import (
    HANDLING,
    UNSEEN_IN_TRAIN,
    UNSEEN_IN_VALID,
    CheckedSet,
    in_both_lists,
    tiny_boxes,
    unseen_classes,
)
from yolo.letterbox import Placement, letterboxed, stretched
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network
from yolo.records import Problem
from yolo.train.setup.memory import Memory

WORD_COLUMNS, EXAMPLE_COLUMNS = 26, 64  # of the table of problems; paths are never broken


# Anchors are worth a hint when k-means finds as many that reach this much more of the boxes. No fixed recall would do:
# of VOC2007's boxes the best six anchors reach 0.82 and the best nine 0.90, the published ones 0.72 and 0.87.
WORTHWHILE_GAIN = 0.05


SAMPLE, SAMPLE_BEGINNINGS = 2000, 3  # boxes and beginnings for that comparison: a second

GIB = 2**30


def placement_of(network: Network) -> Callable[[tuple[int, int], tuple[int, int]], Placement]:
    """How the network sees its images: in their own aspect, or stretched over its input."""
    return letterboxed if network.letterboxed else stretched


def all_problems(
    network: Network, names: Sequence[str], train: CheckedSet, valid: CheckedSet | None
) -> list[Problem]:
    """Everything wrong or odd in both lists, what stops a run first, alike things together."""
    size = network.input.height, network.input.width
    found = [
        *train.problems,
        *train.warnings,
        *tiny_boxes(train.images, size, placement_of(network)),
    ]
    found += unseen_classes(train.images, names, UNSEEN_IN_TRAIN)
    if valid is not None:
        found += [*valid.problems, *valid.warnings]
        found += unseen_classes(valid.images, names, UNSEEN_IN_VALID)
        found += in_both_lists(train.images, valid.images)
    order = list(HANDLING)
    return sorted(found, key=lambda problem: order.index(problem.kind))


def problem_table(problems: Iterable[Problem], skip: bool) -> str:
    """A row a kind: how many, what the run does about it, the first of them; "" where there is none.

    skip: whether the run leaves out what would stop it (`--on-problem skip`).
    """
    problems = list(problems)
    counts = Counter(problem.kind for problem in problems)
    first = {problem.kind: problem.message for problem in reversed(problems)}
    if not counts:
        return ""
    rows = [
        [_wrapped(kind, WORD_COLUMNS), str(count), _wrapped(_what_happens(kind, skip), WORD_COLUMNS),
         _wrapped(first[kind], EXAMPLE_COLUMNS)]
        for kind, count in counts.items()
    ]  # fmt: skip
    table = AsciiTable([["problem", "how many", "what the run does", "the first"], *rows])
    table.inner_row_border = True
    table.justify_columns = {1: "right"}
    return table.table


def _what_happens(kind: str, skip: bool) -> str:
    handling = HANDLING[kind]
    if handling.stops and not skip:
        return f"stops; with --on-problem skip: {handling.action}"
    return handling.action


def _wrapped(text: str, columns: int) -> str:
    return textwrap.fill(text, columns, break_long_words=False, break_on_hyphens=False)


# -------------------------------------------------------------------------------------------------------------- anchors


def heads_of(network: Network) -> list[HeadAnchors]:
    """The heads that have anchors, [yolo], [Gaussian_yolo] and [region]; [detection] has none."""
    heads = []
    for layer in network.heads:
        head = network.layers[layer]
        if isinstance(head, YoloV1Head):
            continue
        stride = network.input.width / network.shapes[layer][2]
        anchors = getattr(head, "all_anchors", head.anchors).double().cpu().numpy()
        if network.kinds[layer] == "region":
            anchors = anchors * (stride, network.input.height / network.shapes[layer][1])  # cells
        own = tuple(getattr(head, "anchor_ids", range(len(anchors))))
        heads.append(HeadAnchors(layer, anchors, own, stride))
    return heads


def anchor_lines(network: Network, boxes: np.ndarray, cfg: Path, data: Path) -> list[str]:
    """How the anchors fit `boxes` `[M, 2]`, (width, height) in pixels of the cfg's input; whether others do better.

    One line; a second one where k-means gains WORTHWHILE_GAIN, that says how to get its anchors; none for a network
    without anchors or for no boxes. cfg, data: for that line.
    """
    heads = heads_of(network)
    if not heads or len(boxes) == 0:
        return []
    lines = [f"anchors: {fit_words(fit_of(heads, boxes))}; {_shares(heads, fit_of(heads, boxes))}"]
    sample = np.random.default_rng(0).permutation(boxes)[:SAMPLE]
    used = np.concatenate([head.anchors[list(head.own)] for head in heads])
    count = len(np.unique(used, axis=0))
    if len(np.unique(sample, axis=0)) <= count:
        return lines
    better = kmeans_anchors(sample, count, starts=SAMPLE_BEGINNINGS)
    one = [HeadAnchors(0, better, tuple(range(count)), 1.0)]
    now, then = (fit_of(each, sample) for each in (heads, one))
    if then.recall - now.recall > WORTHWHILE_GAIN:
        lines.append(
            f"anchors made for these boxes would have a {fit_words(then)}: "
            f"python tools/anchors.py --cfg {cfg} --data {data} prints them"
        )
    return lines


def fit_words(fit: AnchorFit) -> str:
    """ "best possible recall 0.865 at IoU 0.5, mean IoU 0.641"."""
    return f"best possible recall {fit.recall:.3f} at IoU 0.5, mean IoU {fit.mean_iou:.3f}"


def _shares(heads: Sequence[HeadAnchors], fit: AnchorFit) -> str:
    parts = [
        f"{share:.1%} of the boxes to layer {head.layer} (stride {head.stride:g})"
        for head, share in zip(heads, fit.fractions, strict=True)
    ]
    if fit.unassigned:
        parts.append(f"{fit.unassigned:.1%} to an anchor of no mask, so that nothing learns them")
    return ", ".join(parts)


# --------------------------------------------------------------------------------------------------------------- memory


def memory_line(
    memory: Memory, free: int | None, images: int, size: tuple[int, int], subdivisions: int
) -> str:
    """What a mini-batch of so many images at `size` (height, width) needs, and whether that fits what is free."""
    rest = memory.parameters + memory.gradients + memory.optimizer
    needs = (
        f"memory: {images} images of {size[1]}x{size[0]} at a time need about {_gib(memory.total)} GiB "
        f"({_gib(memory.activations + memory.working)} for activations, {_gib(rest)} for weights and the optimizer)"
    )
    if free is None:
        return needs
    # what the parameters take is no longer free
    has = f"{_gib(free + memory.parameters)} GiB are there"
    if fits(memory, free):
        return f"{needs}; {has}"
    return f"{needs}; only {has}: more subdivisions (now {subdivisions}) or a smaller width and height may be needed"


def fits(memory: Memory, free: int) -> bool:
    """Whether what is still to come fits what is free."""
    return memory.to_come <= free


def _gib(number: int) -> str:
    return f"{number / GIB:.2f}" if number < GIB else f"{number / GIB:.1f}"
