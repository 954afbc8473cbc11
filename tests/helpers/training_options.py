"""Options of a training run by the name of each option alone, without the name of its group."""

from dataclasses import fields, replace

from yolo.train.setup.options import Options

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
