"""Where a command computes: a device's name, tried before it is relied on."""

from argparse import ArgumentParser, ArgumentTypeError

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


def add_device_option(parser: ArgumentParser) -> None:
    """`--device`: the GPU where there is one, else the CPU."""
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument(
        "--device",
        type=usable_device,
        default=default,
        metavar="D",
        help=f"default here: {default}",
    )
