"""Write files completely or not at all, and files that grow by rows."""

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from yolo.errors import OutputError
from yolo.files.lock import lock_open, locked

OPEN_FILES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")  # names of files that are open already
RANDOM_PART = "[a-z0-9_]{8}"  # of the names that tempfile makes
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # half the time of `open` for files this small


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
        while content:
            content = content[os.write(handle, content) :]
    except BaseException as error:
        os.unlink(path)
        if isinstance(error, OSError):  # a full disk, a limit of size
            error.filename = error.filename or str(path)
        raise
    finally:
        os.close(handle)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Add the file's name to an OSError of the block without one: a full disk, a limit of size."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file, which replaces `path` in one step when the block succeeds.

    Missing folders are created. The bytes go to a temporary file in the same folder, which is synchronized with the
    disk and renamed. If the block raises (a full disk, Ctrl-C), `path` is unchanged and the temporary file is deleted.
    A device, a pipe and /dev/stdout are not replaced: they get all bytes when the block succeeds.
    """
    path = Path(path)
    if _is_sink(path):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with naming(path), path.open("ab") as sink:
                shutil.copyfileobj(file, sink)
        return
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
        os.chmod(temporary, 0o666 & ~current_umask())  # mkstemp creates private files
        os.replace(temporary, path)
    except BaseException as error:
        # raised again below; even Ctrl-C must not leave the temporary file
        with suppress(OSError):  # a folder that is gone or read-only now
            os.unlink(temporary)
        if isinstance(error, FileNotFoundError) and error.filename == temporary:
            raise OutputError(f"{path}: found its folder removed while it was written, expected it to stay") from error
        if isinstance(error, OSError) and error.filename in (None, "", temporary):
            error.filename = str(path)
        raise


@contextmanager
def replacing_alone(path: Path) -> Iterator[BinaryIO]:
    """Yield a file as `replacing` does, for one process at a time, and first delete what a killed one left.

    Raises OutputError if another process writes the file this way.
    """
    with ExitStack() as stack:
        if not _is_sink(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(path.with_name(f".{path.name}.lock"), f"that writes {path.name}"))
            except OSError as error:
                error.filename = str(path)  # not the lock's name
                raise
            remove_leftovers(path)
        yield stack.enter_context(replacing(path))


def _is_sink(path: Path) -> bool:
    """Return whether a file is written to but never replaced, such as /dev/null, >(command) or /dev/stdout."""
    if str(path).startswith(OPEN_FILES):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files that `replacing(path)` left when its process was killed. No process may write now."""
    name = re.compile(re.escape(f".{path.name}.") + RANDOM_PART)
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if name.fullmatch(other.name):
                other.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, completely or not at all. Surrogate escapes become their bytes."""
    with replacing(path) as file:
        file.write(text.encode(errors="surrogateescape"))


class GrowingFile:
    """A binary file that grows by whole rows, created with its folder.

    There is no buffer, so a killed process loses no row that it has written.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Open `path` for appending; `keep`: cut the file to this number of bytes first. A pipe is never cut."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("ab", buffering=0)
        self.is_pipe = not self.file.seekable()
        if keep is not None and not self.is_pipe:
            self.file.truncate(keep)

    def begin_alone(self) -> None:
        """Empty the file, and keep others that call this from it until it is closed. Pipes and devices are left as is.

        Raises OutputError if another process, or another part of this one, has begun the file.
        """
        if stat.S_ISREG(os.fstat(self.file.fileno()).st_mode):
            if not lock_open(self.file):
                raise OutputError(f"{self.path}: found another process that writes it, expected it to end first")
            self.file.truncate(0)

    def append(self, row: bytes) -> None:
        """Write `row` whole. Raises OSError, and leaves the file as it was, if the disk has no room for all of it."""
        end = 0 if self.is_pipe else self.file.seek(0, os.SEEK_END)
        with naming(self.path):
            written = self.file.write(row)
            while self.is_pipe and written < len(row):  # a signal came; the reader gets the rest
                written += self.file.write(row[written:])
        if written < len(row):
            self.file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        self.file.close()


def current_umask() -> int:
    """Return the process's mask of the permissions of new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
