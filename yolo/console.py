"""What all commands share: errors as one line and exit code 2, checked options, a progress bar, logs on stderr."""

import logging
import math
import os
import re
import shlex
import signal
import sys
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
    _ArgumentGroup,
)
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from yolo.defaults import (
    AUTO,
    DEFAULT_ENGINE,
    DEFAULT_PRECISION,
    DIALECT_NAMES,
    ENGINES,
    INT8,
    INT8_ENGINES,
    MAX_PIXELS_VARIABLE,
    MOST_PIXELS,
    PRECISIONS,
)
from yolo.errors import (
    CfgError,
    DatasetError,
    DivergedError,
    ExportError,
    MissingPackageError,
    OutputError,
    WeightsError,
)
from yolo.named_files import given_or_shipped, weights_table

OptionGroup = ArgumentParser | _ArgumentGroup  # argparse has no public name for both
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
DEVICE_KINDS = ("cpu", "cuda", "mps", "xpu")  # torch names more, which cannot train
NOT_AVAILABLE = "n/a"  # a number that cannot be computed, in tables and pages
LOADING_WORKERS = 2  # enough to keep a network on two cores busy
WEIGHTS_FOLDER = Path("weights")  # where published weights are kept
SIMILAR = 0.7  # of a wrong file name and one that is suggested, from 0 to 1
# Control characters but tab and line feed; marks of the direction of writing (Unicode UAX 9)
UNSAFE_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PROGRESS_CONTROLS = re.compile(r"(\r|\x1b\[[AK])")  # to overwrite a line: of tqdm and of training's progress
# Options that take several values, and what a value looks like; what looks different is a file
SEVERAL_VALUES = {"--layers": "[0-9]+", "--cam-layer": "[0-9]+", "--set": "[^=]+=.*"}
READING = ("yolo.cfg", "yolo.files.text", "yolo.formats.label_files")  # modules that remark on files
QUIET_SECONDS = 2.0  # shorter work shows no progress bar


class SafeStream:
    """Text for a terminal: control characters, which strangers' files and names may hold, are written as escapes.

    So are letters that the terminal's encoding lacks. Line ends, tabs and `kept` are written as they are.
    """

    def __init__(self, stream: TextIO, kept: re.Pattern[str] | None = None) -> None:
        self._stream = stream
        self._kept = kept
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        if UNSAFE_TEXT.search(text):
            parts = self._kept.split(text) if self._kept else [text]
            parts[::2] = map(_escaped, parts[::2])  # the others are kept
            text = "".join(parts)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _escaped(text: str) -> str:
    """Return `text` with control characters, and marks that turn the direction of writing, as escapes."""
    return UNSAFE_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@contextmanager
def safe_output() -> Iterator[None]:
    """Make sys.stdout and sys.stderr `SafeStream`s: the one place where strangers' words are printed."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = SafeStream(sys.stdout), SafeStream(sys.stderr, PROGRESS_CONTROLS)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def run(main: Callable[[], None]) -> None:
    """Run a command's main(). A user's mistake becomes one line on stderr and exit code 2."""
    limit = os.environ.get(MAX_PIXELS_VARIABLE)
    try:
        with safe_output(), _files_remarked_once():
            _run(main)
    finally:  # --max-pixels is this command's
        os.environ.pop(MAX_PIXELS_VARIABLE, None)
        if limit is not None:
            os.environ[MAX_PIXELS_VARIABLE] = limit


def _run(main: Callable[[], None]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it logs at its end if Ctrl-C comes while it is imported
    try:
        main()
        sys.stdout.flush()
    except (
        CfgError,
        WeightsError,
        DatasetError,
        DivergedError,
        ExportError,
        MissingPackageError,
        OutputError,
    ) as error:
        stop(str(error))
    except BrokenPipeError:
        # The reader (such as `| head`) has closed the pipe. Python would fail again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except FileNotFoundError as error:
        stop(missing_file(str(error.filename), sys.argv) if error.filename else str(error))
    except OSError as error:  # an unreadable file, a full disk
        stop(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except UnicodeEncodeError as error:  # `SafeStream` prints every letter, so it is a file or the name of one
        encoding = sys.getfilesystemencoding()
        if error.encoding != encoding:
            raise
        if encoding == "utf-8":  # a file, such as JSON, that holds the name of another one
            stop(f"found {error.object!r}, whose bytes are not UTF-8, expected UTF-8 for this command's files")
        stop(f"found the file name {error.object!r}, which this Python writes as {encoding}, expected PYTHONUTF8=1")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _files_remarked_once() -> Iterator[None]:
    """Say what is unusual about a file once, however often a command reads the file."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        before = len(said)
        said.add(record.getMessage())
        return len(said) > before

    loggers = [logging.getLogger(name) for name in READING]
    for each in loggers:
        each.addFilter(is_new)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(is_new)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Make SIGTERM (`docker stop`, `kill`) and the SIGHUP of a closed terminal raise KeyboardInterrupt once."""
    there = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has one
    numbers = [number for number in there if signal.getsignal(number) != signal.SIG_IGN]  # as nohup has it ignored

    def interrupt(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # what was written is being finished
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def missing_file(name: str, arguments: Sequence[str]) -> str:
    """Return the line about a file that is not there: the option that names it, and what is where it should be.

    Args:
        name: the file as it was to be opened.
        arguments: of the command line.
    """
    path = Path(name)
    folder = path.parent
    before = next((arguments[at - 1] for at, each in enumerate(arguments) if at and each == name), "")
    option = f" ({before})" if before.startswith("--") else ""
    line = f"{name}: No such file or directory{option}"
    if not os.path.isdir(folder):
        hint = ", and a backslash does not separate folders here, expected /" if "\\" in name else ""
        return f"{line}; the folder {folder} is not there either{hint}"
    if "\\" in name:
        return f"{line}; a backslash does not separate folders here, expected /"
    close = get_close_matches(path.name, os.listdir(folder), n=3, cutoff=SIMILAR)
    return f"{line}; did you mean {' or '.join(str(folder / each) for each in close)}?" if close else line


def stop(message: str) -> None:
    """Print `message` on stderr, as one line, and exit with code 2."""
    line = message.replace("\r", "\\r").replace("\n", "\\n")
    print(f"error: {line}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)


def command_line() -> str:
    """Return the command line of this process, as it can be typed into a shell."""
    program, *options = sys.argv
    if Path(program).exists():  # else it is two words, such as `yolo-darknet evaluate`
        program = shlex.quote(program)
    return " ".join([program, shlex.join(options)]).rstrip()


def progress(items: Iterable, description: str, total: int | None = None) -> Iterable:
    """Yield from `items`, and show a bar on stderr after two seconds. Without a terminal there is no bar."""
    from tqdm import tqdm  # not at the top: `--help` does not need it

    return tqdm(
        items,
        desc=description,
        total=total,
        delay=QUIET_SECONDS,
        disable=not sys.stderr.isatty(),
    )


def command_parser(description: str | None) -> ArgumentParser:
    """Return the parser of a command. description: its module's docstring, which ends with an example."""
    return ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)


def files_first(arguments: Sequence[str]) -> list[str]:
    """Return a command line with the files that follow an option of SEVERAL_VALUES, such as `--layers 36 61 dog.jpg`,
    at its start: argparse would take them for more values of the option."""
    files: list[str] = []
    others: list[str] = []
    pattern, values = None, 0
    for at, word in enumerate(arguments):
        if word == "--":
            return files + others + list(arguments[at:])
        if word.startswith("-") and word != "-":
            pattern, values = SEVERAL_VALUES.get(word), 0
        elif pattern is not None:
            if values and not re.fullmatch(pattern, word):
                files.append(word)
                continue
            values += 1
        others.append(word)
    first = next((at for at, word in enumerate(others) if word.startswith("-")), len(others))
    return others[:first] + files + others[first:]


def whole_number(minimum: int) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least `minimum`."""

    def convert(text: str) -> int:
        if not re.fullmatch("[+-]?[0-9]{1,18}", text) or int(text) < minimum:
            raise ArgumentTypeError(f"found {text!r}, expected a whole number from {minimum} on")
        return int(text)

    return convert


def cutoff(text: str) -> int | str:
    """A type for argparse: a number of layers, or "auto"."""
    return text if text == AUTO else whole_number(1)(text)


def fraction(text: str) -> float:
    """A type for argparse: a number from 0 to 1."""
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", text) or float(text) > 1:
        raise ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return float(text)


def positive(text: str) -> float:
    """A type for argparse: a finite number above 0."""
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) or not (0 < float(text) < math.inf):
        raise ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return float(text)


def usable_device(name: str) -> str:
    """A type for argparse: the name of a device that this machine has, such as cpu, cuda or cuda:1.

    "auto" is the GPU if there is one, else the CPU. The CPU is accepted without importing torch.
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
    """A type for argparse: a file to write, not a folder."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"found the folder {text!r}, expected a file")
    new_folder(str(path.parent))
    return path


def new_folder(text: str) -> Path:
    """A type for argparse: a folder to write to, which need not exist. A file in its place ends the command."""
    path = Path(text)
    there = next((each for each in (path, *path.parents) if each.exists()), path)
    if there.exists() and not there.is_dir():
        stop(f"{there}: found a file, expected a folder to write to")
    return path


def key_value(text: str) -> tuple[str, str]:
    """A type for argparse: KEY=VALUE."""
    key, _, value = text.partition("=")
    if not (key and value):
        raise ArgumentTypeError(f"found {text!r}, expected KEY=VALUE")
    return key, value


def cfg_file(text: str) -> Path:
    """A type for argparse: a .cfg file, or the name of one that comes with the package."""
    return _given_or_shipped(text, ".cfg")


def network_size(text: str) -> tuple[int, int]:
    """A type for argparse: WIDTHxHEIGHT as (height, width)."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ArgumentTypeError(f"found {text!r}, expected WIDTHxHEIGHT")
    return int(found[2]), int(found[1])


def names_file(text: str) -> Path:
    """A type for argparse: a .names file, or the name of one that comes with the package."""
    return _given_or_shipped(text, ".names")


def _given_or_shipped(text: str, ending: str) -> Path:
    try:
        return given_or_shipped(text, ending)
    except LookupError as error:
        stop(error.args[0])


def weights_file(text: str) -> Path:
    """A type for argparse: a weights file, or the name of a published one, which is downloaded into weights/."""
    path = Path(text)
    if path.exists():
        return path
    if path.name != text:  # a path, not a name
        stop(missing_file(text, sys.argv))

    from yolo.named_files import find_weights

    try:
        with _download_bar(text) as progress:
            return find_weights(text, WEIGHTS_FOLDER, weights_table(), progress)
    except WeightsError as error:
        stop(str(error))


@contextmanager
def _download_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that shows how many bytes of how many are there; without a terminal it shows nothing."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def add_cfg_option(parser: OptionGroup, required: bool = True) -> None:
    """Add `--cfg`: which network."""
    parser.add_argument(
        "--cfg",
        type=cfg_file,
        required=required,
        metavar="FILE",
        help="a Darknet .cfg, or the name of one that comes with the package, such as yolov3-tiny",
    )


def add_weights_option(parser: OptionGroup, required: bool = True) -> None:
    """Add `--weights`: the weights of a network."""
    parser.add_argument(
        "--weights",
        type=weights_file,
        required=required,
        metavar="FILE",
        help=".weights or .safetensors, or the name of a published model, which is downloaded once",
    )


def add_names_option(parser: OptionGroup, required: bool = True) -> None:
    """Add `--names`: the names of a network's classes. required: False where `find_names` looks for them."""
    default = "" if required else "; default: from a .data or .names file beside the model"
    parser.add_argument(
        "--names",
        type=names_file,
        required=required,
        metavar="FILE",
        help="the class names, one on each line, or the name of a list in the package, such as coco" + default,
    )


def add_max_pixels_option(parser: OptionGroup) -> None:
    """Add `--max-pixels`: the limit of an image's size, which worker processes get by the environment."""
    parser.add_argument(
        "--max-pixels",
        type=_max_pixels,
        metavar="N",
        help=f"refuse images of more pixels; default {MOST_PIXELS:,} (or {MAX_PIXELS_VARIABLE} of the environment)",
    )


def _max_pixels(text: str) -> int:
    os.environ[MAX_PIXELS_VARIABLE] = str(whole_number(1)(text))
    return int(text)


def add_set_option(parser: OptionGroup) -> None:
    """Add `--set KEY=VALUE ...`: other values of a cfg, for `Network.from_cfg(overrides=dict(...))`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the cfg: values of [net], such as width=320 height=320; of all sections of a kind, such as "
        "yolo.iou_loss=ciou; of one layer by its number in `yolo-darknet summary`, such as yolo:16.ignore_thresh=.5",
    )


def add_dialect_option(parser: OptionGroup, what: str) -> None:
    """Add `--dialect`: which Darknet to follow where they differ. what: in which respects, for the help."""
    parser.add_argument(
        "--dialect",
        choices=DIALECT_NAMES,
        default="alexeyab",
        help=f"which Darknet to follow: {what}; default alexeyab",
    )


def add_workers_option(parser: OptionGroup) -> None:
    """Add `--workers`: how many processes load images beside the network."""
    parser.add_argument(
        "--workers",
        type=whole_number(0),
        default=LOADING_WORKERS,
        metavar="N",
        help=f"processes that load images; default {LOADING_WORKERS}",
    )


def add_recheck_option(parser: OptionGroup) -> None:
    """Add `--recheck`: whether the check of a list trusts what an earlier one found."""
    parser.add_argument(
        "--recheck",
        action="store_true",
        help="check every image and label file again, even those that have not changed since the last check",
    )


def add_device_option(parser: OptionGroup) -> None:
    """Add `--device`: where the network computes."""
    parser.add_argument(
        "--device",
        type=usable_device,
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:1 ...; default: the GPU if there is one, else the CPU",
    )


def add_engine_options(parser: OptionGroup) -> None:
    """Add `--engine`, `--precision` and `--calibrate`: what computes the network, and in which numbers."""
    parser.add_argument(
        "--engine",
        choices=(*ENGINES, AUTO),
        default=DEFAULT_ENGINE,
        help=f"the library that computes the network; {AUTO}: the fastest one installed, measured once; "
        f"default {DEFAULT_ENGINE}",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=DEFAULT_PRECISION,
        help=f"number format of the computation; default {DEFAULT_PRECISION}",
    )
    add_calibrate_option(parser)


def add_calibrate_option(parser: OptionGroup) -> None:
    """Add `--calibrate`: the images that int8 needs."""
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="LIST",
        help="for --precision int8: a list or folder of 30 to 300 typical images",
    )


def check_engine_options(parser: ArgumentParser, args: Namespace) -> None:
    """Stop if --precision int8, --engine and --calibrate do not go together."""
    if (args.precision == INT8) != (args.calibrate is not None):
        expected = "images to calibrate with, for --precision int8" if args.calibrate is None else "--precision int8"
        parser.error(f"argument --calibrate: expected {expected}")
    if args.precision == INT8 and args.engine not in (*INT8_ENGINES, AUTO):
        expected = f"--engine {', '.join(INT8_ENGINES)} or {AUTO}"
        parser.error(f"argument --precision: found int8 with --engine {args.engine}, expected {expected}")


def check_one_network(parser: ArgumentParser, args: Namespace, others: Mapping[str, bool]) -> None:
    """Stop unless there is one network: --cfg and --weights, or --model.

    others: more options that do not go with --model, and whether each is given.
    """
    network = {"--cfg": args.cfg, "--weights": args.weights}
    if args.model is None:
        if missing := [option for option, value in network.items() if value is None]:
            parser.error(f"the following arguments are required: {', '.join(missing)} (or --model)")
        return
    wrong = {option: value is not None for option, value in network.items()} | {"--set": bool(args.overrides), **others}
    if given := [option for option, is_given in wrong.items() if is_given]:
        parser.error(f"argument --model: expected no {' or '.join(given)}: the file is a whole network")
