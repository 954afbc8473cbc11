"""Read text in the encodings of users' files, and show bytes that are not letters."""

import codecs
import logging
import re
from pathlib import Path

from yolo.errors import DatasetError
from yolo.files.contents import foreign_to_text, open_input

log = logging.getLogger(__name__)

UTF16_MARKS = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
ESCAPED_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # as Python writes a surrogate escape
UTF16_SAMPLE = 512  # bytes that show whether every other one is zero


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Bytes that are not UTF-8 become surrogate escapes, as in Python's file names, so that a path stays usable. UTF-16
    with a byte order mark, as Windows writes it, is read and logged.

    Raises:
        OSError: the file cannot be read.
        DatasetError: UTF-16 without a byte order mark or broken UTF-16, a web page, an archive, an image ...
    """
    with open_input(path) as file:
        return decoded_text(file.read(), path)


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


def one_line(text: str) -> str:
    """Return a text with escapes for its ends of lines, which names of files may have: it is printed as one line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def escaped_text(text: str) -> str:
    """Return a text of `read_text` or a file's name with escapes such as `\\udcff` for its bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def unescaped_text(text: str) -> str:
    """Return the argument of `escaped_text` for its result."""
    return ESCAPED_BYTE.sub(lambda found: chr(int(found[1], 16)), text)
