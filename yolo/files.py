"""Tell what a file is; read text in the encodings that files have; write files and folders whole or not at all."""

import codecs
import errno
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from yolo.errors import DatasetError, OutputError

log = logging.getLogger(__name__)
START = 4096  # bytes of a file that are looked at
LARGEST_SAFETENSORS_HEADER = 100_000_000  # bytes, the format's own limit

PNG_CONTENT = "a PNG image"
SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"),
    (b"PK\x03\x04", "a zip archive, as .pt, .pth and .docx files are"),
    (b"\x80\x02", "a Python pickle, as old .pt files are"),
    (b"\x1f\x8b", "gzip data, to be unpacked first"),
    (b"BZh91AY", "bzip2 data, to be unpacked first"),
    (b"\xfd7zXZ\0", "xz data, to be unpacked first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive, to be unpacked first"),
    (b"Rar!\x1a", "a rar archive, to be unpacked first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (b"%PDF-", "a PDF"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n\x1a\n", PNG_CONTENT),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)

HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.I | re.S)
EMPTY = "an empty file"
WEB_PAGE = "a web page"
TEXTS = (None, "text", EMPTY, "JSON text", "XML text", "UTF-16 text")
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # never in a text; escape (0x1b) is
ESCAPED_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # as Python writes a surrogate escape

UTF16_SAMPLE = 512  # bytes that show whether every other one is zero
LISTED_ENDINGS = (".txt", ".xml")  # of files that are read where a folder is given
CHART_MAKER = b"atplotlib"  # what Matplotlib writes into its files about itself
READABLE_DEVICES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/", "/dev/null")
MAX_PID_DIGITS = 20  # of a process number in a lock file
FOLDER_LOCK = ".lock"  # in a temporary folder; held by its process
RANDOM_PART = "[a-z0-9_]{8}"  # of the names that tempfile makes
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # half the time of `open` for files this small


def known_content(start: bytes) -> str | None:
    """Return what a file is whose first bytes (some kB) are `start`, in words; None if nothing is recognized."""
    if not start:
        return EMPTY
    for signature, words in SIGNATURES:
        if start.startswith(signature):
            return words
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP image"
    header = int.from_bytes(start[:8], "little")
    if start[8:10] in (b'{"', b"{}", b"{ ") and header <= LARGEST_SAFETENSORS_HEADER:
        return "a .safetensors file"
    text = start.removeprefix(UTF8_MARK)
    if HTML.match(text):
        return WEB_PAGE
    if CONTROL.search(text):
        return None
    shown = text.lstrip()
    if shown.startswith(b"<?xml"):
        return "XML text"
    if shown[:1] in (b"{", b"[") and shown[1:].lstrip()[:1] in (b'"', b"{", b"[", b"]", b"}"):
        return "JSON text"
    return "text" if _is_utf8(text) else None


def open_input(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes, but no pipe or device, which may have no beginning or no end.

    /dev/stdin and /dev/fd/N, as the shell's <(command) gives, are read all the same. Raises OSError.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or str(path).startswith(READABLE_DEVICES)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise OSError(errno.EINVAL, f"found {kind}, expected a file", str(path))
    return open(path, "rb")


def named_content(path: str | Path) -> str | None:
    """Return `known_content` of a file. Raises OSError."""
    with open_input(path) as file:
        return known_content(file.read(START))


def foreign_to_text(content: bytes) -> str | None:
    """Return what bytes are that were to be a text, such as a list or a .names file; None if they may be one."""
    kind = known_content(content[:START])
    return None if kind in TEXTS else kind


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(text) - 3  # a letter that the cut divides
    return True


def read_text(path: str | Path, error_type: type[ValueError] = DatasetError) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Bytes that are not UTF-8 become surrogate escapes, as in Python's file names, so that a path stays usable. UTF-16
    with a byte order mark, as Windows writes it, is read and logged.

    Raises:
        OSError: the file cannot be read.
        error_type: UTF-16 without a byte order mark or broken UTF-16, a web page, an archive, an image ...
    """
    with open_input(path) as file:
        return decoded_text(file.read(), path, error_type)


def decoded_text(content: bytes, path: str | Path, error_type: type[ValueError] = DatasetError) -> str:
    """Return the text of the content of a file; see `read_text`."""
    foreign = foreign_to_text(content)
    if foreign:
        raise error_type(f"{path}: found {foreign}, expected text")
    if content.startswith(UTF16_MARKS):
        text = utf16_text(content, path, "UTF-8 text", error_type)
        log.warning("%s: found UTF-16, read as such; Darknet reads UTF-8 only", path)
        return text
    head = content[:UTF16_SAMPLE]
    if any(
        len(half) > 1 and not any(half) and any(other)
        for half, other in ((head[::2], head[1::2]), (head[1::2], head[::2]))
    ):
        raise error_type(f"{path}: found UTF-16 without a byte order mark, expected UTF-8 text")
    return content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")


def utf16_text(content: bytes, path: str | Path, expected: str, error_type: type[ValueError] = DatasetError) -> str:
    """Return the text of UTF-16 that begins with one of UTF16_MARKS.

    Args:
        content: of the file.
        path: of the file, for the message.
        expected: what the file should be, for the message.
        error_type: of the error.

    Raises:
        error_type: the content breaks off or is damaged.
    """
    try:
        return content.decode("utf-16")
    except UnicodeDecodeError:
        raise error_type(f"{path}: found UTF-16 that breaks off or is damaged, expected {expected}") from None


def printable_text(text: str) -> str:
    """Return a text of `read_text` with replacement characters for its bytes that are not UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def escaped_text(text: str) -> str:
    """Return a text of `read_text` or a file's name with escapes such as `\\udcff` for its bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def unescaped_text(text: str) -> str:
    """Return what `escaped_text` was given."""
    return ESCAPED_BYTE.sub(lambda found: chr(int(found[1], 16)), text)


def refuse_over_inputs(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file that a command reads, also through links. None stands for no file.

    Of a folder among the inputs, annotations and result files are inputs: .txt and .xml.

    Raises:
        OutputError: an output is an input.
    """
    given = [Path(path) for path in inputs if path is not None]
    identities = {identity for path in given if (identity := _identity(path))}
    folders = {path.resolve() for path in given if path.is_dir()}
    for path in outputs:
        if path is None or not (identity := _identity(path)):
            continue
        listed = path.suffix.lower() in LISTED_ENDINGS and not folders.isdisjoint(path.resolve().parents)
        if identity in identities or listed:
            raise OutputError(f"{path}: found an input, expected another place to write to")


def refuse_texts_over(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write a text, such as JSON or CSV, over an input or over a file that is no text: weights, an image.

    Raises:
        OutputError: an output is an input, or what is there is no text.
    """
    for path in _there_but_no_input(outputs, inputs):
        kind = named_content(path)
        if kind is None or kind not in TEXTS:
            found = kind or "a file that is no text"
            raise OutputError(f"{path}: found {found}, expected a new file or an older result")


def refuse_charts_over(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write a chart of Matplotlib over an input or over a file that is no chart of Matplotlib.

    Raises:
        OutputError: an output is an input, or what is there is no chart.
    """
    for path in _there_but_no_input(outputs, inputs):
        with open_input(path) as file:
            start = file.read(START)
            file.seek(max(os.fstat(file.fileno()).st_size - START, 0))
            if CHART_MAKER not in start + file.read():  # at the start of a PNG or SVG, at the end of a PDF
                raise OutputError(f"{path}: found a file that is no chart, expected a new file or an older chart")


def _there_but_no_input(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> list[Path]:
    """Return the outputs that are there already, as of `refuse_over_inputs`."""
    there = [path for path in outputs if path is not None and path.is_file()]
    refuse_over_inputs(there, inputs)
    return there


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others: device and number; None for what is not there and no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def write_new(path: str | Path, text: str) -> None:
    """Write a file, unless it already has this text. Raises OSError.

    No temporary file is used, unlike in `replacing`: for a hundred thousand labels that takes minutes. A killed process
    can leave a half-written file, so write a list that names these files only after all of them.
    """
    write_new_bytes(path, text.encode(errors="surrogateescape"))


def write_new_bytes(path: str | Path, content: bytes) -> None:
    """Write a file as `write_new` does. Raises OSError."""
    try:
        handle = os.open(path, NEW_FILE, 0o666)
    except FileExistsError:
        if Path(path).read_bytes() == content:
            return
        os.unlink(path)
        handle = os.open(path, NEW_FILE, 0o666)
    try:
        with naming(path):
            while content:
                content = content[os.write(handle, content) :]
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(handle)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Name the file in an OSError of the block that names none: a full disk, a limit of size."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def writable(folder: Path) -> bool:
    """Whether files can be created in a folder, which need not exist yet. Root's right to write anywhere is ignored."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def file_state(path: str) -> os.stat_result | None:
    """Return the state of a file or folder; None if it is not there or its name cannot be one."""
    try:
        return os.stat(path)
    except (OSError, ValueError):  # missing, too long, or with a zero byte
        return None


def visible(folder: Path, pattern: str | None = None) -> list[Path]:
    """Return what is in a folder, sorted, without hidden files such as macOS's `._x.data`.

    pattern: of the names. With one, a folder that cannot be read is empty, as for Path.glob. Raises OSError without.
    """
    found = folder.iterdir() if pattern is None else folder.glob(pattern)
    return sorted(path for path in found if not path.name.startswith("."))


def files_below(folder: Path, leave_out: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield the files in and below a folder as paths relative to it, sorted; hidden ones are skipped.

    Links to folders are followed, each folder once. leave_out: whether a subfolder is not read. A folder that is not
    there has no files.
    """
    seen = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        inner = os.path.relpath(current, folder)
        if real in seen or (leave_out and inner != "." and leave_out(current)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted((each for each in folders if not each.startswith(".")), key=_links_last(current))
        prefix = "" if inner == "." else f"{inner}/"
        yield from (prefix + name for name in sorted(names) if not name.startswith("."))


def _links_last(folder: str) -> Callable[[str], tuple[bool, str]]:
    """A sorting key: real folders before links, which may lead to one of them."""
    return lambda name: (os.path.islink(os.path.join(folder, name)), name)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file, which replaces `path` in one step when the block succeeds.

    Missing folders are created. The bytes go to a temporary file in the same folder, which is synchronized with the
    disk and renamed. If the block raises (a full disk, Ctrl-C), `path` is unchanged and the temporary file is deleted.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        error.filename = str(path)  # the user's name, not the temporary one
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp creates private files
        os.replace(temporary, path)
    except BaseException as error:
        # raised again below; even Ctrl-C must not leave the temporary file
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, "", temporary):
            error.filename = str(path)
        raise


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files that `replacing(path)` left when its process was killed. No process may write now."""
    name = re.compile(re.escape(f".{path.name}.") + RANDOM_PART)
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if name.fullmatch(other.name):
                other.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, whose folder exists, in this context. The lock ends with the process, however it ends.

    Raises OutputError if another process, or another part of this one, holds it.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        yield
        return
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(MAX_PID_DIGITS).strip()
            file.close()
            raise OutputError(
                f"{path.parent}: found another process at work in this folder{holder and f' (number {holder})'}, "
                "expected it to end first"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its holder has just ended and removed it
    try:
        with suppress(OSError):  # a full disk: only the number is missing
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `path` when the block succeeds. `path` is new or an empty folder.

    Missing folders above it are created. If the block raises, `path` is unchanged and the temporary folder, which is
    beside it, is deleted.
    """
    final = Path(path).resolve()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.")
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o777 & ~_umask())  # mkdtemp creates private folders
        os.replace(temporary, final)
    except BaseException as error:
        # raised again below; even Ctrl-C must not leave the temporary folder
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.filename:
            error.filename = str(error.filename).replace(temporary, str(path))
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the file `path`, to write it in several steps, and delete it afterwards.

    Missing folders above are created, and what killed processes left is deleted. An OSError about a file in the folder
    names `path` instead. Raises OSError.
    """
    hidden = path.parent / f".{path.name}."
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_folders(hidden)
    try:
        with (
            tempfile.TemporaryDirectory(dir=hidden.parent, prefix=hidden.name) as folder,
            locked(Path(folder, FOLDER_LOCK)),
        ):
            yield Path(folder)
    except OSError as error:
        if str(error.filename).startswith(str(hidden)):
            error.filename = str(path)
        raise


def _remove_left_folders(hidden: Path) -> None:
    """Delete the folders of `folder_beside` whose process was killed; `hidden`: how their paths begin."""
    name = re.compile(re.escape(hidden.name) + RANDOM_PART)
    for folder in hidden.parent.iterdir():
        if name.fullmatch(folder.name) and (folder / FOLDER_LOCK).is_file():
            with suppress(OutputError, OSError), locked(folder / FOLDER_LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, completely or not at all. Surrogate escapes become the bytes they stand for."""
    with replacing(path) as file:
        file.write(text.encode(errors="surrogateescape"))


class GrowingFile:
    """A binary file that grows by whole rows, created with its folder.

    There is no buffer, so a killed process loses no row that it has written.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Open `path` for appending; `keep`: cut the file to so many bytes first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("ab", buffering=0)
        if keep is not None:
            self.file.truncate(keep)

    def append(self, row: bytes) -> None:
        """Write `row` whole. Raises OSError, and leaves the file as it was, if the disk has no room for all of it."""
        end = self.file.seek(0, os.SEEK_END)
        with naming(self.path):
            written = self.file.write(row)
        if written < len(row):
            self.file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        self.file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
