"""The options of a training run, grouped by what they decide. tools/train.py --help explains each."""

from dataclasses import dataclass
from pathlib import Path

from yolo.defaults import PROGRESS_LOG
from yolo.train.multiscale import Stage


@dataclass(frozen=True)
class StartPoint:
    """Where a run starts: with new weights, with a .weights file, or exactly where a checkpoint was saved.

    find_cutoff: find the cutoff from the sizes of the weights file.
    named_cutoff: the cutoff is from the name of the weights file, NAME.conv.N, so its size must confirm it.
    """

    weights: Path | None = None
    cutoff: int | None = None
    find_cutoff: bool = False
    named_cutoff: bool = False
    clear: bool = False
    resume: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Learning:
    """Options of the computation that are not in the cfg, or replace its values."""

    iou_loss: str | None = None
    box_gradient: str = "darknet"
    policy: str | None = None
    sizes: tuple[Stage, ...] = ()
    freeze: int = 0
    backbone_lr: float = 1.0
    ema: float = 0.0


@dataclass(frozen=True)
class Machine:
    """Where the network computes, and how fast.

    amp: the forward pass in 16 bits; memory_format: "channels_last" or "contiguous"; None: the fastest on a CPU,
    measured. ignore_memory: start even if the memory seems too small.
    """

    device: str = "cpu"
    workers: int = 2
    amp: bool | None = False
    compiled: bool = False
    sync_bn: bool = False
    ignore_memory: bool = False
    memory_format: str | None = "channels_last"


@dataclass(frozen=True)
class Output:
    """Options of what is scored, logged and written, and where.

    out: by default the folder of the checkpoint that is resumed, or `backup` of the .data file; numbered: a new folder
    with a number instead; overwrite: an earlier run in the folder is replaced; watch: images for the film strip.
    """

    out: Path | None = None
    numbered: bool = False
    overwrite: bool = False
    map_every: int | None = None
    log: str = PROGRESS_LOG
    histograms_every: int = 0
    watch: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Options:
    """All options. overrides: values of the cfg, see `yolo.cfg.override`; output: None writes and logs nothing."""

    cfg: Path
    data: Path
    dialect: str = "alexeyab"
    overrides: tuple[tuple[str, str], ...] = ()
    skip_problems: bool = False
    recheck: bool = False
    start: StartPoint = StartPoint()
    learning: Learning = Learning()
    machine: Machine = Machine()
    output: Output | None = Output()
