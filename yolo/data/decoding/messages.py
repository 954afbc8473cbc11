"""Collect what image decoders print on C's stderr, for each image: libjpeg reports damage only there."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import BinaryIO, TypeVar

import cv2

STDERR = {"linux": "stderr", "darwin": "__stderrp"}  # the name of C's variable
Result = TypeVar("Result")


class DecoderMessages:
    """Calls decoders, and returns what they print.

    C's variable `stderr` points to a file meanwhile; Python's sys.stderr and file descriptor 2 are not touched.
    Several threads may decode at once. A thread that finds a new message decodes again alone, to see whether the
    message belongs to its image. Where C's variable cannot be set (Windows), messages are printed as without this
    class.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._users, self._waiting, self._alone = 0, 0, False
        self._file = None
        self._log_level = 0

    def call(self, decode: Callable[[], Result]) -> tuple[Result, str]:
        """Return the result of `decode()` and what was printed, one line."""
        with self._listening(alone=False) as printed:
            result = decode()
            text = printed()
        if text:
            with self._listening(alone=True) as printed:
                result = decode()
                text = printed()
        return result, " ".join(text.split())

    @contextmanager
    def _listening(self, alone: bool) -> Iterator[Callable[[], str]]:
        self._enter(alone)
        try:
            start = self._size()
            yield lambda: self._text_from(start)
        finally:
            self._leave()

    def _enter(self, alone: bool) -> None:
        with self._changed:
            self._waiting += alone
            if alone:
                self._changed.wait_for(lambda: not self._users)
            else:
                self._changed.wait_for(lambda: not (self._alone or self._waiting))
            self._waiting -= alone
            self._alone = alone
            self._users += 1
            if self._users == 1:
                self._redirect()

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                self._alone = False
                self._restore()
            self._changed.notify_all()

    def _redirect(self) -> None:
        self._log_level = cv2.utils.logging.setLogLevel(0)  # OpenCV's own lines do not name a file
        if self._file is None:
            self._open()
        if self._file:
            self._variable.value = self._stream

    def _restore(self) -> None:
        cv2.utils.logging.setLogLevel(self._log_level)
        if self._file:
            self._variable.value = self._original
            self._file.truncate(0)

    def _open(self) -> None:
        """Open the file, once in a process."""
        self._file = False
        if sys.platform not in STDERR:
            return
        libc = ctypes.CDLL(None)
        if sys.platform == "linux" and not hasattr(libc, "gnu_get_libc_version"):
            return  # in musl the variable is constant
        libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_char_p)
        libc.setbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        self._file = _memory_file()
        self._stream = libc.fdopen(os.dup(self._file.fileno()), b"a")
        libc.setbuf(self._stream, None)
        self._variable = ctypes.c_void_p.in_dll(libc, STDERR[sys.platform])
        self._original = self._variable.value

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size if self._file else 0

    def _text_from(self, start: int) -> str:
        length = self._size() - start
        if not length:
            return ""
        return os.pread(self._file.fileno(), length, start).decode("ascii", errors="backslashreplace")

    def start_again(self) -> None:
        """Reset the state after a fork: other threads of the parent process may have been decoding."""
        if self._file:
            self._variable.value = self._original
        self.__init__()


def _memory_file() -> BinaryIO:
    """Return an open file without a name; Linux keeps it in memory, also where no folder can be written."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("decoder messages"), "rb+", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


MESSAGES = DecoderMessages()  # one, because C's variable is one
os.register_at_fork(after_in_child=MESSAGES.start_again)
