"""The folder of a run. It holds no other run, unless the user replaces or resumes it; no other process writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yolo.errors import OutputError
from yolo.explain.film.strip import remove_film
from yolo.files.folders import folder_if_used
from yolo.files.lock import locked
from yolo.files.writing import remove_leftovers
from yolo.train.setup.options import Output

DEFAULT_FOLDER = Path("backup")  # if the .data file has no `backup`
LOCK = ".train.lock"
WEIGHTS = tuple(f"_{which}.{ending}" for which in ("last", "best") for ending in ("pt", "weights"))
LOGS = ("scalars.csv", "scores.csv", "chart.png", "tensorboard", "watch")


def run_folder(output: Output, backup: Path | None, resume: Path | None) -> Path:
    """Return where the files of a run go. With `numbered` this is the first folder that does not exist.

    Args:
        output: `out`, if given, comes first.
        backup: of the .data file.
        resume: the checkpoint that is resumed; without `out` the run stays in its folder.
    """
    if output.out is not None:
        return output.out
    folder = resume.parent if resume and not output.numbered else backup or DEFAULT_FOLDER
    if not output.numbered:
        return folder
    number = 1
    while (numbered := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return numbered


@contextmanager
def claimed(folder: Path, name: str, resume: Path | None, overwrite: bool) -> Iterator[None]:
    """Keep a folder for one run in this context. A folder that is created, and stays empty, is removed at the end.

    Temporary files that a killed run of this name left are deleted first.

    Args:
        folder: of the run.
        name: of its files, NAME_last.pt and so on.
        resume: the checkpoint that is resumed, or None.
        overwrite: whether an earlier run may be there.

    Raises:
        OutputError: the folder holds an earlier run, or another process is at work in it.
        OSError: the folder cannot be created or written.
    """
    with folder_if_used(folder), locked(folder / LOCK):
        for file in (*_weights_files(folder, name), folder / "chart.png"):
            remove_leftovers(file)
        continues = resume is not None and resume.resolve().parent == folder.resolve()
        if not (continues or overwrite):
            _check_empty(folder, name, resume)
        yield


def remove_old_run(folder: Path, name: str, keep: Path | None) -> None:
    """Delete the film strip, weights and checkpoints of an earlier run, which a new run would replace step by step.

    keep: the weights from which the new run starts.
    """
    for file in _weights_files(folder, name):
        if keep is None or file.resolve() != keep.resolve():
            file.unlink(missing_ok=True)
    remove_film(folder)


def _check_empty(folder: Path, name: str, resume: Path | None) -> None:
    found = [path for path in (*_weights_files(folder, name), *(folder / log for log in LOGS)) if _is_written(path)]
    if not found:
        return
    last = folder / f"{name}_last.pt"
    ways = ["--overwrite starts from scratch", "--out auto takes a new folder with a number"]
    if last.exists() and resume is None:
        ways.insert(0, f"--resume {last} continues it")
    raise OutputError(f"{folder}: found an earlier run ({found[0].name}), expected none; {', '.join(ways)}")


def _weights_files(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}{ending}" for ending in WEIGHTS]


def _is_written(path: Path) -> bool:
    """Whether a file has content, or a folder has files. A run that ends before its first step leaves empty ones."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_file() and path.stat().st_size > 0
