"""Json files of strangers, read with care: whatever is wrong with one is one line with its place."""

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path

from yolo.errors import DatasetError

SHOWN_CHARACTERS = 80  # of a value, in its one line


def read_json(
    path: str | Path,
    leave_out: Collection[str] = (),
    number: Callable[[str], object] = float,
) -> object:
    """What a json file holds.

    leave_out: keys whose lists of numbers are read as 0: outlines are nine tenths of a COCO file's bytes and time.
    number: what the text of a number with a point or exponent becomes.
    Raises DatasetError for what is no json (cut off, nested without end, a number of ten thousand digits), OSError
    when the file is not there.
    """
    content = Path(path).read_bytes()
    try:
        try:
            return json.loads(_without_lists(content, leave_out), parse_float=number)
        except json.JSONDecodeError:
            return json.loads(content, parse_float=number)  # the whole, for the right place
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}: column {error.colno}"
        raise DatasetError(f"{place}: found no json ({error.msg}), {_hint(error)}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: found no text (byte {error.start}), expected json") from None
    except RecursionError:
        raise DatasetError(f"{path}: found json nested too deeply to be read") from None
    except ValueError as error:  # Python reads whole numbers of up to 4300 digits
        raise DatasetError(f"{path}: found json that cannot be read: {error}") from None


def _without_lists(content: bytes, keys: Collection[str]) -> bytes:
    """The same json with 0 for the lists of numbers of some keys.

    A key cannot be part of a longer text here: in a text its second quote would follow a backslash.
    """
    if not keys:
        return content
    names = b"|".join(re.escape(key.encode()) for key in keys)
    return re.sub(rb'"(' + names + rb')"\s*:\s*\[[][0-9eE+.,\s-]*\]', rb'"\1":0', content)


def shown(value: object) -> str:
    """A value as a message can show it: on one line, not too long."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _hint(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "the file is empty"
    if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return "the file breaks off"
    return "expected a json file"
