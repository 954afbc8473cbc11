"""Json files of strangers, read with care: whatever is wrong with one is one line with its place."""

import json
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

    leave_out: keys that are dropped from every object as soon as it is read: outlines are nine tenths of a COCO file.
    number: what the text of a number with a point or exponent becomes.
    Raises DatasetError for what is no json (cut off, nested without end, a number of ten thousand digits), OSError
    when the file is not there.
    """

    def lighter(entry: dict) -> dict:
        for key in leave_out:
            entry.pop(key, None)
        return entry

    content = Path(path).read_bytes()
    try:
        return json.loads(content, object_hook=lighter if leave_out else None, parse_float=number)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}: column {error.colno}"
        raise DatasetError(f"{place}: found no json ({error.msg}), {_hint(error)}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: found no text (byte {error.start}), expected json") from None
    except RecursionError:
        raise DatasetError(f"{path}: found json nested too deeply to be read") from None
    except ValueError as error:  # Python reads whole numbers of up to 4300 digits
        raise DatasetError(f"{path}: found json that cannot be read: {error}") from None


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
