"""One process at a time: a lock that ends with its process."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from yolo.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: every process gets the lock
    fcntl = None

MAX_PID_DIGITS = 20  # of a process number in a lock file
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # of file systems without locks, such as some of clusters


@contextmanager
def locked(path: Path, work: str = "at work") -> Iterator[None]:
    """Hold the lock file `path`, whose folder exists, in this context. The lock ends when the process ends in any way.

    work: what the process does, for the error. On a file system without locks every process gets the lock. Raises
    OutputError if another process, or another part of this one, holds it.
    """
    if fcntl is None:
        yield
        return
    while True:
        file = path.open("a+")
        try:
            free = lock_open(file)
        except OSError:
            file.close()
            raise
        if not free:
            file.seek(0)
            holder = file.read(MAX_PID_DIGITS).strip()
            file.close()
            raise OutputError(
                f"{path.parent}: found another process {work} in this folder{holder and f' (number {holder})'}, "
                "expected it to end first"
            )
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its holder has just ended and removed it
    try:
        with suppress(OSError):  # a full disk: only the number is missing
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield
    finally:
        with suppress(OSError):  # a folder that is gone or read-only now: the lock ends anyway
            path.unlink()
        file.close()


def lock_open(file: IO) -> bool:
    """Lock an open file until it is closed. Return False if it is locked already, here or by another process.

    Without locks, on Windows or on some file systems, this returns True. Raises OSError.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
