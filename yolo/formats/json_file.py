"""Read JSON files, where an error is one line with its place, and format JSON that every program can read."""

import json
import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from yolo.errors import DatasetError
from yolo.files.contents import open_input
from yolo.formats.plain_text import LARGEST_NUMBER

SHOWN_CHARACTERS = 80  # of a value, in an error's one line
# C1 control characters, ends of lines, marks of the direction of writing, bytes that are not UTF-8. JSON itself has
# escapes for the other control characters.
UNPRINTABLE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def readable_json(content: object, **options: Any) -> str:
    """Return JSON with all letters as they are, but JSON's own escapes, such as `\\udcff`, for what is not printable.

    Names of files may hold bytes that are not UTF-8, and control characters. options: of json.dumps.
    """
    text = json.dumps(content, ensure_ascii=False, **options)
    if text.isascii() and "\x7f" not in text:
        return text
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_json_list(
    path: str | Path,
    expected: str,
    number: Callable[[str], object] = float,
    as_meant: Callable[[bytes], bytes | str] = bytes,
) -> list:
    """Return the content of a JSON file that must be a list.

    Args:
        path: the file.
        expected: what the list is, for the error message.
        number: converts the text of a number with a point or exponent.
        as_meant: returns corrected JSON for the text of a program.

    Raises:
        DatasetError: the content is no list, or `read_json` cannot read it.
        OSError: the file does not exist or cannot be read.
    """
    content = read_json(path, number=number, as_meant=as_meant)
    if not isinstance(content, list):
        raise DatasetError(f"{path}: found json {type(content).__name__}, expected {expected}")
    return content


def read_json(
    path: str | Path,
    leave_out: Collection[str] = (),
    number: Callable[[str], object] = float,
    as_meant: Callable[[bytes], bytes | str] = bytes,
) -> object:
    """Return the content of a JSON file.

    Args:
        path: the file.
        leave_out: keys whose lists of numbers become 0. Outlines are nine tenths of a COCO file's bytes and time.
        number: converts the text of a number with a point or exponent.
        as_meant: returns corrected JSON for the text of a program.

    Raises:
        DatasetError: not JSON, or JSON that Python cannot read: nested too deeply, an integer of thousands of digits.
        OSError: the file does not exist or cannot be read.
    """
    with open_input(path) as file:
        content = as_meant(file.read())
    try:
        try:
            return json.loads(_without_lists(content, leave_out), parse_float=number)
        except json.JSONDecodeError:
            return json.loads(content, parse_float=number)  # the whole content, for the right place
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
    """Replace the lists of numbers of some keys by 0.

    The pattern cannot match within a JSON string, where a quote follows a backslash.
    """
    if not keys:
        return content
    names = b"|".join(re.escape(key.encode()) for key in keys)
    return re.sub(rb'"(' + names + rb')"\s*:\s*\[[][0-9eE+.,\s-]*\]', rb'"\1":0', content)


def is_finite_number(value: object) -> bool:
    """Return whether a JSON value is a number of at most LARGEST_NUMBER."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER  # false for NaN


def finite_numbers(content: object) -> object:
    """Return content for JSON, which has no infinite numbers and no NaN, with null in their places."""
    if isinstance(content, dict):
        return {key: finite_numbers(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite_numbers(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def shown(value: object) -> str:
    """Return a value for a message: on one line, shortened."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _hint(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "the file is empty"
    if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return "the file breaks off"
    return "expected a json file"
