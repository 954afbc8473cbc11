"""Recognize files by their first bytes, open files that a user names, and hash their content."""

import errno
import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

START = 4096  # bytes of a file that are read
BLOCK = 2**20  # bytes of a file that are hashed at a time
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
HEIF_KINDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO 23008-12; after 4 bytes of length
HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.I | re.S)
EMPTY = "an empty file"
WEB_PAGE = "a web page"
TEXTS = (None, "text", EMPTY, "JSON text", "XML text", "UTF-16 text")
UTF8_MARK = b"\xef\xbb\xbf"
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # never in a text; escape (0x1b) is
# On Windows; elsewhere: a pipe is opened without waiting for its other end
READ_FILE = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
READABLE_DEVICES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/", "/dev/null")


def known_content(start: bytes) -> str | None:
    """Return the kind of a file with the first bytes (some kB) `start`, in words; None if it is not recognized."""
    if not start:
        return EMPTY
    for signature, words in SIGNATURES:
        if start.startswith(signature):
            return words
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP image"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_KINDS:
        return "an HEIC photo, as iPhones take them, to be converted to JPEG first"
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
    """Open a file to read its bytes. Pipes and devices, which may never end, raise an error.

    /dev/stdin and /dev/fd/N, as the shell's <(command) gives, are allowed. Raises OSError.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or str(path).startswith(READABLE_DEVICES)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise OSError(errno.EINVAL, f"found {kind}, expected a file", str(path))
    return open(path, "rb")


def read_small_file(path: str | Path, most_bytes: int) -> bytes:
    """Return the content of a file, at most `most_bytes` and one more, with half the system calls of `open_input`.

    What is no ordinary file is read, or refused, as by `open_input`. Raises OSError.
    """
    with suppress(OSError, ValueError):  # open_input raises it again, in its words
        handle = os.open(path, READ_FILE)
        try:
            state = os.fstat(handle)
            if stat.S_ISREG(state.st_mode):
                return os.read(handle, min(state.st_size, most_bytes + 1))
        finally:
            os.close(handle)
    with open_input(path) as file:
        return file.read(most_bytes + 1)


def named_content(path: str | Path) -> str | None:
    """Return `known_content` of a file. Raises OSError."""
    with open_input(path) as file:
        return known_content(file.read(START))


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of the content of a file of any size, in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def foreign_to_text(content: bytes) -> str | None:
    """Return the kind of the bytes of a file that should be text, such as a list; None if they may be text."""
    kind = known_content(content[:START])
    return None if kind in TEXTS else kind


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(text) - 3  # a letter that is cut at the end
    return True
