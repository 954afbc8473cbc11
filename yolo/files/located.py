"""Find the file of a path in a text file: from the current folder or from the file's own, with / instead of \\."""

import os
from pathlib import Path


def file_state(path: str) -> os.stat_result | None:
    """Return the state of a file or folder; None if it is not there or its name cannot be one."""
    try:
        return os.stat(path)
    except (OSError, ValueError):  # missing, too long, or with a zero byte
        return None


def locate(text: str, folder: Path) -> Path:
    """Return the path that `text` means in a file of `folder`: from the current folder if it exists, else `folder`.

    Backslashes, which Windows has between folders, count as slashes if only then the file exists.
    """
    return Path(located(text, str(folder))[0])


def located(text: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the path that `locate` returns, and the state of the file; None if there is none."""
    path = os.path.expanduser(text)  # unchanged if there is no such user
    state = file_state(path)
    if state:
        return path, state
    if os.path.isabs(path):
        return _with_slashes(path, "")
    inside = os.path.join(folder, path)
    state = file_state(inside)
    if state:
        return inside, state
    return _with_slashes(path, folder)


def _with_slashes(path: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the result of `located` for a path that exists only with slashes."""
    if "\\" not in path:
        return path, None
    slashed = path.replace("\\", "/")
    for candidate in (slashed, os.path.join(folder, slashed)):
        if state := file_state(candidate):
            return candidate, state
    return path, None


def tried_places(text: str, folder: str) -> str:
    """Return where `located` looked for a missing file, for a message."""
    path = os.path.expanduser(text)
    places = [path] if os.path.isabs(path) else [os.path.abspath(path), os.path.abspath(os.path.join(folder, path))]
    hint = "; a backslash does not separate folders here, with / instead it is not there either" if "\\" in text else ""
    return f"looked for {' and '.join(dict.fromkeys(places))}{hint}"
