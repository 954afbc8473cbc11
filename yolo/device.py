"""Where a command computes: a device's name, tried before it is relied on."""

from argparse import ArgumentTypeError

import torch

KINDS = ("cpu", "cuda", "mps", "xpu")  # torch knows more names, of devices that train nothing


def usable_device(name: str) -> str:
    """A type for argparse: the name of a device that is there, such as cpu, cuda or cuda:1."""
    try:
        kind = torch.empty(0, device=name).device.type
    except (RuntimeError, AssertionError, NotImplementedError):  # unknown; not built in; not there
        kind = None
    if kind not in KINDS:
        raise ArgumentTypeError(f"found {name!r}, expected a device that this machine has")
    return name
