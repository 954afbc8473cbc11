"""The pre-flight check: problems of the data set, how the anchors fit it, and the memory that training will take.

The functions return tables and lines. The setup of a run logs them, and decides whether the run starts.

The memory is estimated from shapes alone: the forward pass runs on torch's meta device, which has shapes and no
numbers, and what autograd keeps there for the backward pass is what it will keep in training. Measured on a CPU, six
cfgs with 2 to 16 images of 5 to 50 boxes took 0.86 to 1.10 of the estimate, and with 200 boxes an image up to 1.24.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from terminaltables import AsciiTable
from torch import Tensor
from torch.func import functional_call

from yolo.data.anchors import AnchorFit, HeadAnchors, fit_of, kmeans_anchors
from yolo.data.check import HANDLING, CheckedSet, problems_of_lists
from yolo.data.head_anchors import describe_fit, heads_of, placement_of
from yolo.errors import CfgError, counted
from yolo.model.network import Network
from yolo.records import Problem
from yolo.train.optimizer import first_trainable

WORD_COLUMNS, EXAMPLE_COLUMNS = 26, 64  # of the table of problems; paths are never broken

# Suggest other anchors if as many anchors by k-means have a recall that is larger by this much. A fixed recall does not
# work: of VOC2007's boxes the best six anchors reach 0.82 and the best nine 0.90, the published ones 0.72 and 0.87.
WORTHWHILE_GAIN = 0.05
SAMPLE, SAMPLE_STARTS = 2000, 3  # boxes and random starts for that comparison: it takes a second
READABLE_CHANNELS = (1, 3)
GIB = 2**30

# The backward pass needs the gradients before and after a layer, beside what autograd kept: the largest two.
GRADIENTS_AT_ONCE = 2
LOSS_COPIES = 4  # of the raw maps in float32: decoded, their loss, its gradient
FLOAT_BYTES = 4
USABLE = 0.9  # of the free memory, for advice: the estimate was 0.86 to 1.10 of what was measured


def check_channels(network: Network, cfg: Path) -> None:
    """Raise CfgError for a network whose input cannot be an image file."""
    if network.input.channels not in READABLE_CHANNELS:
        expected = " or ".join(map(str, READABLE_CHANNELS))
        raise CfgError(f"{cfg}: found channels={network.input.channels}, expected {expected}: those of image files")


def all_problems(network: Network, names: Sequence[str], train: CheckedSet, valid: CheckedSet | None) -> list[Problem]:
    """Return all problems of both lists, grouped by kind, first those that stop a run.

    Args:
        network: whose input size and placement the boxes are checked for.
        names: the classes.
        train: the train list.
        valid: the valid list; None without one.
    """
    size = network.input.height, network.input.width
    return problems_of_lists(names, train, valid, (size, placement_of(network)))


def problem_table(problems: Iterable[Problem], skip: bool) -> str:
    """Return a table with a row for each kind: how many, what the run does about it, the first one; "" without any.

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


def anchor_lines(network: Network, boxes: np.ndarray, cfg: Path, data: Path) -> list[str]:
    """Describe how the anchors fit the boxes of a data set, and whether other anchors fit better.

    Args:
        network: the network whose anchors are checked.
        boxes: `[M, 2]`, (width, height) in pixels of the network input.
        cfg, data: the files, for the command in the second line.

    Returns:
        One line, and a second one with a command if the anchors of k-means gain WORTHWHILE_GAIN in recall. No line for
        a network without anchors, or without boxes.
    """
    heads = heads_of(network)
    if not heads or len(boxes) == 0:
        return []
    lines = [f"anchors: {describe_fit(fit_of(heads, boxes))}; {_describe_heads(heads, fit_of(heads, boxes))}"]
    sample = np.random.default_rng(0).permutation(boxes)[:SAMPLE]
    used = np.concatenate([head.anchors[list(head.own)] for head in heads])
    count = len(np.unique(used, axis=0))
    if len(np.unique(sample, axis=0)) <= count:
        return lines
    better = kmeans_anchors(sample, count, starts=SAMPLE_STARTS)
    one = [HeadAnchors(0, better, tuple(range(count)), 1.0)]
    now, then = (fit_of(each, sample) for each in (heads, one))
    if then.recall - now.recall > WORTHWHILE_GAIN:
        lines.append(
            f"anchors made for these boxes would have a {describe_fit(then)}: "
            f"yolo-darknet anchors --cfg {cfg} --data {data} prints them"
        )
    return lines


def _describe_heads(heads: Sequence[HeadAnchors], fit: AnchorFit) -> str:
    parts = [
        f"{fraction:.1%} of the boxes to layer {head.layer} (stride {head.stride:g})"
        for head, fraction in zip(heads, fit.fractions, strict=True)
    ]
    if fit.unassigned:
        parts.append(f"{fit.unassigned:.1%} to an anchor of no mask, so that nothing learns them")
    return ", ".join(parts)


# --------------------------------------------------------------------------------------------------------------- memory


@dataclass(frozen=True)
class Memory:
    """The memory of a training step in bytes.

    parameters: with buffers; gradients, optimizer: for all trained parameters; activations: kept for the backward pass
    of one mini-batch; working: allocated and freed in the backward pass.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        return self.parameters + self.to_come

    @property
    def to_come(self) -> int:
        """Everything but the parameters, which are allocated before the first step."""
        return self.gradients + self.optimizer + self.activations + self.working


def estimate_memory(
    network: Network,
    images: int,
    size: tuple[int, int],
    copies: int = 1,
    dtype: torch.dtype = torch.float32,
    freeze: int = 0,
) -> Memory:
    """Estimate the memory of a training step. Neither the network nor the CPU's random generator is changed.

    Args:
        network: on any device.
        images: images of a mini-batch.
        size: (height, width) of the network input.
        copies: numbers that are kept for each parameter: 1 for momentum, 2 for Adam, one more for an EMA.
        dtype: of the forward pass.
        freeze: the layers below this index do not change.

    Returns:
        The memory in bytes.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    weights = sum(map(_bytes, network.parameters())) + sum(map(_bytes, network.buffers()))
    gradients = sum(map(_bytes, trained))
    inputs = torch.empty(images, network.input.channels, *size, device="meta", dtype=dtype)
    was_training = network.training
    network.train()
    try:
        first = first_trainable(network.controls, freeze)
        kept, raw = _kept(network, inputs, first, dtype)
    finally:
        network.train(was_training)
    working = GRADIENTS_AT_ONCE * max(kept, default=0) + LOSS_COPIES * FLOAT_BYTES * raw
    return Memory(weights, gradients, copies * gradients, sum(kept), working)


def fitting_subdivisions(
    network: Network,
    batch: int,
    size: tuple[int, int],
    free: int | None,
    *,
    processes: int = 1,
    copies: int = 1,
    dtype: torch.dtype = torch.float32,
    freeze: int = 0,
) -> int | None:
    """Return the smallest number of subdivisions whose mini-batches fit into the free memory.

    Args:
        network, size, copies, dtype, freeze: see `estimate_memory`.
        batch: images of a step, of all processes together.
        free: bytes; None, where it is not known, fits everything.
        processes: each has an equal part of a mini-batch.

    Returns:
        A divisor of `batch`; None if not even the smallest mini-batch fits.
    """
    for subdivisions in range(1, batch // processes + 1):
        if batch % (subdivisions * processes) == 0:
            memory = estimate_memory(network, batch // subdivisions // processes, size, copies, dtype, freeze)
            if free is None or fits(memory, int(free * USABLE)):
                return subdivisions
    return None


def _kept(network: Network, images: Tensor, first: int, dtype: torch.dtype) -> tuple[list[int], int]:
    """Return the bytes of each storage that autograd keeps beside the weights, and the number of raw-map values.

    first: index of the first layer that receives gradients.
    """
    state = {
        name: value.detach().to("meta", dtype if value.is_floating_point() else value.dtype)
        for name, value in [*network.named_parameters(), *network.named_buffers()]
    }
    for name, parameter in network.named_parameters():
        state[name].requires_grad_(parameter.requires_grad)
    # Views, and tensors that are kept twice, have one storage. On the meta device a storage has a handle, no address.
    own = {value.untyped_storage()._cdata for value in state.values()}
    storages: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage  # keep it, so that no other storage gets its handle
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    # some layers draw random numbers in training
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), hooks:
        raw = functional_call(network, state, (images, first))
    return [storage.nbytes() for storage in storages.values()], sum(map_.numel() for map_ in raw)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def memory_line(memory: Memory, free: int | None, images: int, size: tuple[int, int]) -> str:
    """Describe how much memory a mini-batch needs, and whether it fits.

    Args:
        memory: the estimate.
        free: free bytes of the device; None where they are not known.
        images: images of the mini-batch.
        size: (height, width) of the network input.

    Returns:
        One line.
    """
    rest = memory.parameters + memory.gradients + memory.optimizer
    verb = "needs" if images == 1 else "need"
    needs = (
        f"memory: {counted(images, 'image')} of {size[1]}x{size[0]} at a time {verb} about {_gib(memory.total)} GiB "
        f"({_gib(memory.activations + memory.working)} for activations, {_gib(rest)} for weights and the optimizer)"
    )
    if free is None:
        return needs
    # the parameters are already allocated
    only = "" if fits(memory, free) else "only "
    return f"{needs}; {only}{_gib(free + memory.parameters)} GiB are there"


def fits(memory: Memory, free: int) -> bool:
    """Return whether what is not yet allocated fits into `free` bytes."""
    return memory.to_come <= free


def _gib(number: int) -> str:
    return f"{number / GIB:.2f}" if number < GIB else f"{number / GIB:.1f}"
