"""List folders, write folders completely or not at all, and make temporary ones."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yolo.errors import DatasetError, OutputError
from yolo.files.lock import locked
from yolo.files.writing import RANDOM_PART, current_umask, naming

FOLDER_LOCK = ".lock"  # in a temporary folder; held by its process


def writable(folder: Path) -> bool:
    """Whether files can be created in a folder, which need not exist yet. Root's right to write anywhere is ignored."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


@contextmanager
def folder_if_used(folder: Path) -> Iterator[None]:
    """Create a folder for this context. It, and parents created with it, are removed at the end if they stay empty."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # not empty
                each.rmdir()


def data_set_folder(text: str, set_form: str) -> Path:
    """Return the absolute path of a data set's folder. Raises DatasetError if it is not there.

    set_form: what --train and --valid take, such as DIR:SET, for the message.
    """
    if not Path(text).is_dir():
        hint = f"; {set_form} goes after --train or --valid" if ":" in text else ""
        raise DatasetError(f"{text}: no such folder{hint}")
    return Path(text).resolve()


def visible(folder: Path, pattern: str | None = None) -> list[Path]:
    """Return the content of a folder, sorted, without hidden files such as macOS's `._x.data`.

    pattern: of the names. With one, a folder that cannot be read is empty, as for Path.glob. Raises OSError without.
    """
    found = folder.iterdir() if pattern is None else folder.glob(pattern)
    return sorted(path for path in found if not path.name.startswith("."))


def files_below(folder: Path, leave_out: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield the files in and below a folder as paths relative to it, sorted; hidden ones are skipped.

    Links to folders are followed, each folder once. leave_out: whether a subfolder is not read. A folder that is not
    there has no files.
    """
    seen = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        inner = os.path.relpath(current, folder)
        if real in seen or (leave_out and inner != "." and leave_out(current)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted((each for each in folders if not each.startswith(".")), key=_links_last(current))
        prefix = "" if inner == "." else f"{inner}/"
        yield from (prefix + name for name in sorted(names) if not name.startswith("."))


def _links_last(folder: str) -> Callable[[str], tuple[bool, str]]:
    """A sorting key: real folders before links, which may lead to one of them."""
    return lambda name: (os.path.islink(os.path.join(folder, name)), name)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `path` when the block succeeds. `path` is new or an empty folder.

    Missing folders above it are created. If the block raises, `path` is unchanged and the temporary folder, which is
    beside it, is deleted.
    """
    final = Path(path).resolve()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.")
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o777 & ~current_umask())  # mkdtemp creates private folders
        os.replace(temporary, final)
    except BaseException as error:
        # raised again below; even Ctrl-C must not leave the temporary folder
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.filename:
            error.filename = str(error.filename).replace(temporary, str(path))
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the file `path`, to write it in several steps, and delete it at the end.

    Missing folders above are created, and leftovers of killed processes are deleted. An OSError about a file in the
    folder names `path` instead. Raises OSError.
    """
    hidden = path.parent / f".{path.name}."
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_folders(hidden)
    try:
        with (
            tempfile.TemporaryDirectory(dir=hidden.parent, prefix=hidden.name) as folder,
            locked(Path(folder, FOLDER_LOCK)),
        ):
            yield Path(folder)
    except OSError as error:
        if str(error.filename).startswith(str(hidden)):
            error.filename = str(path)
        raise


def _remove_left_folders(hidden: Path) -> None:
    """Delete the folders of `folder_beside` whose process was killed; `hidden`: how their paths begin."""
    name = re.compile(re.escape(hidden.name) + RANDOM_PART)
    for folder in hidden.parent.iterdir():
        if name.fullmatch(folder.name) and (folder / FOLDER_LOCK).is_file():
            with suppress(OutputError, OSError), locked(folder / FOLDER_LOCK):
                shutil.rmtree(folder, ignore_errors=True)
