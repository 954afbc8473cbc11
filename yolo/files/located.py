"""Find the file of a path in a text file: from the current folder or from the file's own, with / instead of \\.

Data sets are moved from one machine to another with the paths in them. So a file that is at neither place is also found
from the text file's folder without the first folders of its path: `data/train.txt` in Darknet's `data/obj.data` and in
CVAT's `obj.data`, `C:\\darknet\\data\\obj\\1.jpg` in `data/train.txt`.
"""

import os
import stat
from pathlib import Path


def file_state(path: str) -> os.stat_result | None:
    """Return the state of a file or folder; None if it is not there or its name cannot be one."""
    try:
        return os.stat(path)
    except (OSError, ValueError):  # missing, too long, or with a zero byte
        return None


def locate(text: str, folder: Path) -> Path:
    """Return the path that `text` means in a file of `folder`: from the current folder if it exists, else `folder`.

    Backslashes, which Windows has between folders, count as slashes if only then the file exists. Last, first folders
    that are not there are left out.
    """
    return Path(located(text, str(folder))[0])


def moved_file(text: str, folder: str) -> str | None:
    """Return the file that `text` means only without its first folders; None for any other.

    A file that has all of these folders, from a folder above, is an ordinary one: Darknet is started there.
    """
    path, state = located(text, folder)
    found, given = os.path.normpath(path), os.path.expanduser(text).replace("\\", "/")
    is_whole = found.endswith(os.path.normpath(given)) or found == os.path.normpath(os.path.join(folder, given))
    return None if state is None or is_whole else path


def locate_beside(text: str, folder: Path) -> Path:
    """Return the path that `text` means in a file of `folder`, as `locate` does, but not from the current folder.

    A data set that is named as a folder has its own images; another one in the current folder may have the same names.
    """
    path = os.path.expanduser(text)
    for candidate in (folder / path, folder / path.replace("\\", "/")):
        if file_state(str(candidate)):
            return candidate
    found, state = _without_first_folders(path, str(folder))
    return Path(found) if state else folder / path


def located(text: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the path that `locate` returns, and the state of the file; None if there is none."""
    path = os.path.expanduser(text)  # unchanged if there is no such user
    state = file_state(path)
    if state:
        return path, state
    if not os.path.isabs(path):
        inside = os.path.join(folder, path)
        state = file_state(inside)
        if state:
            return inside, state
    found = _with_slashes(path, "" if os.path.isabs(path) else folder)
    return found if found[1] else _without_first_folders(path, folder)


def _with_slashes(path: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the result of `located` for a path that exists only with slashes."""
    if "\\" not in path:
        return path, None
    slashed = path.replace("\\", "/")
    for candidate in (slashed, os.path.join(folder, slashed)):
        if state := file_state(candidate):
            return candidate, state
    return path, None


def _without_first_folders(path: str, folder: str) -> tuple[str, os.stat_result | None]:
    """Return the result of `located` for a file, no folder, that is in `folder` without the first folders of its path.

    A first folder that is there in `folder` is not left out: then the file itself is missing. So it is if the whole
    path's folder is there: a file of the same name is another one.
    """
    if os.path.isabs(path) and file_state(os.path.dirname(path)):
        return path, None
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(1, len(parts)):
        if file_state(os.path.join(folder, parts[start - 1])):
            break
        candidate = os.path.join(folder, *parts[start:])
        state = file_state(candidate)
        if state and stat.S_ISREG(state.st_mode):
            return candidate, state
    return path, None


def tried_places(text: str, folder: str) -> str:
    """Return where `located` looked for a missing file, for a message."""
    path = os.path.expanduser(text)
    places = [path] if os.path.isabs(path) else [os.path.abspath(path), os.path.abspath(os.path.join(folder, path))]
    hint = "; a backslash does not separate folders here, with / instead it is not there either" if "\\" in text else ""
    return f"looked for {' and '.join(dict.fromkeys(places))}{hint}"
