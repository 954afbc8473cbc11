"""Run a command: a user's mistake becomes one line on stderr and exit code 2; signals end it like Ctrl-C."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from yolo.console.safe_stream import safe_output
from yolo.defaults import MAX_PIXELS_VARIABLE
from yolo.errors import (
    CfgError,
    DatasetError,
    DivergedError,
    ExportError,
    MissingPackageError,
    OutputError,
    WeightsError,
)
from yolo.files.text import one_line

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
ENDINGS_OF_OPTIONS = {
    "--cfg": (".cfg",), "--weights": (".weights", ".safetensors", ".pt"), "--names": (".names", ".txt"),
    "--data": (".data",),
}  # fmt: skip
MOST_NAMED = 2  # files in a message
LINK_LOOP = "Symlink loop from "  # Path.resolve's error before Python 3.13, which is no OSError
SIMILAR = 0.7  # of a wrong file name and one that is suggested, from 0 to 1
READING = ("yolo.cfg", "yolo.files.text", "yolo.formats.label_files")  # modules that remark on files


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
    except IsADirectoryError as error:
        stop(folder_for_file(str(error.filename), sys.argv) if error.filename else str(error))
    except OSError as error:  # an unreadable file, a full disk
        stop(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except UnicodeEncodeError as error:  # `SafeStream` prints every letter, so the cause is a file or its name
        encoding = sys.getfilesystemencoding()
        if error.encoding != encoding:
            raise
        if encoding == "utf-8":  # a file, such as JSON, that holds the name of another one
            stop(f"found {error.object!r}, whose bytes are not UTF-8, expected UTF-8 for this command's files")
        stop(f"found the file name {error.object!r}, which this Python writes as {encoding}, expected PYTHONUTF8=1")
    except RuntimeError as error:
        if not str(error).startswith(LINK_LOOP):
            raise
        stop(f"found links that lead to each other: {str(error).removeprefix(LINK_LOOP)}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _files_remarked_once() -> Iterator[None]:
    """Log a remark on a file only once, even if a command reads the file several times."""
    logged: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        before = len(logged)
        logged.add(record.getMessage())
        return len(logged) > before

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
            signal.signal(number, signal.SIG_IGN)  # the outputs are being finished
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def missing_file(name: str, arguments: Sequence[str]) -> str:
    """Return the line about a missing file: the option that names it, and the similar names in its folder.

    Args:
        name: the file as it was to be opened.
        arguments: of the command line.
    """
    path = Path(name)
    folder = path.parent
    before = _word_before(name, arguments)
    option = f" ({before})" if before.startswith("--") else ""
    line = f"{name}: No such file or directory{option}"
    if not os.path.isdir(folder):
        hint = ", and a backslash does not separate folders here, expected /" if "\\" in name else ""
        return f"{line}; the folder {folder} is not there either{hint}"
    if "\\" in name:
        return f"{line}; a backslash does not separate folders here, expected /"
    close = get_close_matches(path.name, os.listdir(folder), n=3, cutoff=SIMILAR)
    return f"{line}; did you mean {' or '.join(str(folder / each) for each in close)}?" if close else line


def folder_for_file(name: str, arguments: Sequence[str]) -> str:
    """Return the line about a folder in the place of a file: the option, and the folder's files of that kind.

    Args:
        name: the folder.
        arguments: of the command line.
    """
    option = _word_before(name, arguments)
    line = f"{name}: Is a directory"
    if option not in ENDINGS_OF_OPTIONS:
        return line
    endings = ENDINGS_OF_OPTIONS[option]
    inside = sorted(each for each in os.listdir(name) if each.lower().endswith(endings))[:MOST_NAMED]
    such = f", such as {' or '.join(str(Path(name) / each) for each in inside)}" if inside else ""
    return f"{line} ({option}), expected a {endings[0]} file{such}"


def _word_before(name: str, arguments: Sequence[str]) -> str:
    """Return the word of a command line before the first `name`, such as its option; "" without one."""
    return next((before for before, each in pairwise(arguments) if each == name), "")


def stop(message: str) -> None:
    """Print `message` on stderr, as one line, and exit with code 2."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)
