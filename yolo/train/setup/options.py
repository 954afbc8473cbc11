"""What the command line of training adds to cfg and data, as a record."""

from dataclasses import dataclass
from pathlib import Path

from yolo.defaults import PROGRESS_LOG
from yolo.train.multiscale import Stage


@dataclass(frozen=True)
class Options:
    """`overrides` are values of [net]; all else as tools/train.py explains its options."""

    cfg: Path
    data: Path
    weights: Path | None = None
    cutoff: int | None = None
    clear: bool = False
    resume: Path | None = None
    iou_loss: str | None = None
    box_gradient: str = "darknet"
    dialect: str = "alexeyab"
    policy: str | None = None
    sizes: tuple[Stage, ...] = ()
    freeze: int = 0
    backbone_lr: float = 1.0
    ema: float = 0.0
    mixed: bool = False
    compiled: bool = False
    synced_norm: bool = False
    overrides: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    workers: int = 2
    seed: int = 0
    out: Path | None = None
    map_every: int | None = None
    log: str = PROGRESS_LOG
    histograms_every: int = 0
    skip_problems: bool = False
