"""Write frozen dataclasses as JSON, and read and check them: one description of a file's content for both.

The JSON key of a field is its name, or the one given by `json_name`. Fields may be text, numbers, other dataclasses,
tuples of any of them, and types with a `Check` of their own: `Annotated[type, Check(...)]`; each of them may be `|
None`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from yolo.errors import DatasetError
from yolo.formats.json_file import is_finite_number, shown

LARGEST_COUNT = 2**53  # larger numbers are not exact as floats
Record = TypeVar("Record")


class Check(NamedTuple):
    """What a JSON value must be, in words, and the test of it."""

    words: str
    holds: Callable[[object], bool]


def is_count(value: object) -> bool:
    """Whether a JSON value is a whole number from 0 on."""
    return type(value) is int and 0 <= value <= LARGEST_COUNT


CHECKS = {
    str: Check("text", lambda value: isinstance(value, str)),
    int: Check("a whole number from 0 on", is_count),
    float: Check("a finite number", is_finite_number),
}


def json_name(name: str, default: object = MISSING) -> Any:
    """Return a dataclass field whose JSON key is `name`."""
    return field(default=default, metadata={"json": name})


def json_text(record: object) -> str:
    """Return a dataclass as one line of JSON."""
    return json.dumps(_plain(record), allow_nan=False) + "\n"


def record_of(kind: type[Record], value: object, place: str = "") -> Record:
    """Return the record of type `kind` that a JSON value describes; unknown keys are ignored.

    Args:
        kind: a dataclass.
        value: as json.loads returns it.
        place: the path of keys to the value, for messages.

    Raises:
        DatasetError: a key is missing or a value is not as its field requires; the message starts with the path of
        keys.
    """
    if not isinstance(value, dict):
        raise fault(place, value, "an object")
    known = _known_fields(kind)
    for key, _, _ in known:
        if key not in value and key not in _keys_with_default(kind):
            raise DatasetError(f"{_within(place, key)}: found nothing, expected this key of a report")
    given = [each for each in known if each[0] in value]
    return kind(**{name: _value_of(hint, value[key], _within(place, key)) for key, name, hint in given})


def fault(place: str, value: object, expected: str) -> DatasetError:
    """Return the error for a wrong value at a path of keys."""
    return DatasetError(f"{place}: found {shown(value)}, expected {expected}")


def _value_of(hint: Any, value: object, place: str) -> object:
    or_null = ""
    if NoneType in get_args(hint):
        if value is None:
            return None
        hint, or_null = get_args(hint)[0], " or null"
    if is_dataclass(hint):
        return record_of(hint, value, place)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise fault(place, value, "a list")
        item = get_args(hint)[0]
        return tuple(_value_of(item, each, f"{place}[{at}]") for at, each in enumerate(value))
    check = get_args(hint)[1] if get_origin(hint) is Annotated else CHECKS[hint]
    if not check.holds(value):
        raise fault(place, value, check.words + or_null)
    return tuple(value) if isinstance(value, list) else value


@cache
def _known_fields(kind: type) -> tuple[tuple[str, str, Any], ...]:
    """Return (JSON key, name, type) of each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((_key(each), each.name, hints[each.name]) for each in fields(kind))


@cache
def _keys_with_default(kind: type) -> frozenset[str]:
    """Return the JSON keys that older files may lack."""
    return frozenset(_key(each) for each in fields(kind) if each.default is not MISSING)


def _plain(value: object) -> object:
    """Return the value as json.dumps takes it."""
    if is_dataclass(value):
        return {_key(each): _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _key(each: Field) -> str:
    return each.metadata.get("json", each.name)


def _within(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
