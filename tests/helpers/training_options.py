"""Options of a training run by the name of each option alone, without the name of its group; small runs."""

from dataclasses import fields, replace

import torch

from tests.helpers.tiny_data import cfg_text
from yolo.train.setup.options import Options
from yolo.train.setup.run import start
from yolo.train.trainer import train

GROUPS = ("start", "learning", "machine", "output")


def training_options(cfg, data, **changes):
    """Options of a run on the CPU that loads images itself, but for `changes`."""
    return changed(Options(cfg, data), **{"workers": 0, **changes})


def changed(options, **changes):
    """The options with other values."""
    for group in GROUPS:
        record = getattr(options, group)
        own = {f.name: changes.pop(f.name) for f in fields(record) if f.name in changes}
        options = replace(options, **{group: replace(record, **own)})
    return replace(options, **changes)


def tiny_options(drawn, folder, text=None, **changes):
    """Options of a run of six steps of four images of a drawn set; `folder` gets its cfg, tiny.cfg, and its files.

    text: of another cfg.
    """
    cfg = folder / "tiny.cfg"
    cfg.write_text(text or cfg_text())
    return training_options(cfg=cfg, data=drawn.data, **{"out": folder / "run", **changes})


def finish(options):
    """Start, train, close; the Run as it ended."""
    run = start(options)
    try:
        train(run)
    finally:
        run.logger.close()
    return run


def same_tensors(first, second):
    """Whether two dictionaries of tensors are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
