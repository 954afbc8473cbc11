"""What every command shares: errors as one line and exit code 2, checked options, progress, log messages on stderr."""

import logging
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Collection
from pathlib import Path

from yolo.errors import CfgError, DatasetError, DivergedError, WeightsError

EXIT_USER_ERROR = 2

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

# torch knows more names, of devices that cannot train
DEVICE_KINDS = ("cpu", "cuda", "mps", "xpu")

LOADING_WORKERS = 2  # enough to keep a network on two cores busy


def run(main: Callable[[], None]) -> None:
    """Run a tool's main(); a user's mistake becomes one line on stderr and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
        sys.stdout.flush()
    except (CfgError, WeightsError, DatasetError, DivergedError) as error:
        stop(str(error))
    except BrokenPipeError:
        # `| head` has seen enough; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except OSError as error:  # missing, unreadable, no space left
        stop(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def stop(message: str) -> None:
    """Print `message` on stderr and exit with 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)


def whole_number(minimum: int) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least `minimum`."""

    def convert(text: str) -> int:
        if not re.fullmatch("[+-]?[0-9]{1,18}", text) or int(text) < minimum:
            raise ArgumentTypeError(f"found {text!r}, expected a whole number from {minimum} on")
        return int(text)

    return convert


def share(text: str) -> float:
    """A type for argparse: a number from 0 to 1."""
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", text) or float(text) > 1:
        raise ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return float(text)


def positive(text: str) -> float:
    """A type for argparse: a number above 0."""
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", text) or not float(text) > 0:
        raise ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return float(text)


def usable_device(name: str) -> str:
    """A type for argparse: the name of a device that this machine has, such as cpu, cuda or cuda:1.

    "auto" is the GPU where there is one, else the CPU. torch is imported only where it has to be asked.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.empty(0, device=name).device.type
    except (RuntimeError, AssertionError, NotImplementedError):  # unknown; not built in; not there
        kind = None
    if kind not in DEVICE_KINDS:
        raise ArgumentTypeError(f"found {name!r}, expected a device that this machine has")
    return name


def new_file(text: str) -> Path:
    """A type for argparse: a file to be written, no folder."""
    if Path(text).is_dir():
        raise ArgumentTypeError(f"found the folder {text!r}, expected a file")
    return Path(text)


def key_value(text: str) -> tuple[str, str]:
    """A type for argparse: KEY=VALUE."""
    key, _, value = text.partition("=")
    if not (key and value):
        raise ArgumentTypeError(f"found {text!r}, expected KEY=VALUE")
    return key, value


def add_set_option(parser: ArgumentParser) -> None:
    """`--set KEY=VALUE ...`: other values of a cfg's [net], for `Network.from_cfg(overrides=dict(...))`."""
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        dest="overrides",
        help="other values of [net], such as width=320 height=320",
    )


def add_dialect_option(parser: ArgumentParser, dialects: Collection[str], what: str) -> None:
    """`--dialect`: which Darknet is followed where they differ; what: in which respects, for the help."""
    parser.add_argument(
        "--dialect",
        choices=list(dialects),
        default="alexeyab",
        help=f"which Darknet to follow: {what}; default alexeyab",
    )


def add_workers_option(parser: ArgumentParser) -> None:
    """`--workers`: how many processes load images beside the network."""
    parser.add_argument(
        "--workers",
        type=whole_number(0),
        default=LOADING_WORKERS,
        metavar="N",
        help=f"processes that load images; default {LOADING_WORKERS}",
    )


def add_device_option(parser: ArgumentParser) -> None:
    """`--device`: where the network computes."""
    parser.add_argument(
        "--device",
        type=usable_device,
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:1 ...; default: the GPU where there is one, else the CPU",
    )
