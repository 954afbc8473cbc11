"""Record which conversion made which files, so that none replaces files of another, or files made by hand.

A folder of labels has MANIFEST, which lists the .data files of the conversions that use it. A conversion's folder of
lists has RECORD, with the checksums of what it wrote.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yolo.data.convert.plan import LabelHome, PlannedFiles
from yolo.errors import DatasetError, counted
from yolo.files.writing import write_text

MANIFEST = ".conversions.json"
RECORD = "conversion.json"
WRITING, FINISHED = "writing", "finished"


@dataclass(frozen=True)
class ConversionRecord:
    """The content of RECORD.

    files: name → checksums that the file may have. folders: of the images. fraction, seed, moved: of the split, if any.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    fraction: float | None = None
    seed: int | None = None
    moved: dict[str, bool] = field(default_factory=dict)


def is_output(folder: str | Path) -> bool:
    """Whether a conversion wrote its lists into a folder."""
    return os.path.isfile(os.path.join(folder, RECORD))


def read_record(out: Path) -> ConversionRecord:
    """Return what the last conversion into `out` wrote; an empty record if there was none or its record is damaged."""
    content = _read(out / RECORD)
    try:
        return ConversionRecord(
            files={str(name): [*map(str, sums)] for name, sums in content["files"].items()},
            folders=tuple(map(str, content.get("folders", ()))),
            fraction=content["share"],
            seed=content["seed"],
            moved={str(key): bool(valid) for key, valid in content["moved"].items()},
        )
    except (KeyError, AttributeError, TypeError):
        return ConversionRecord()


def earlier_records(out: Path, folders: Collection[Path], labels: Iterable[Path]) -> list[ConversionRecord]:
    """Return what conversions of the same images wrote: into `out`, with the same labels, or into a folder beside it.

    Args:
        out: Folder of the lists.
        folders: Of the images.
        labels: Folders where these images may have labels.
    """
    users = sorted({Path(user).parent for each in labels for user in _users(each)})
    beside = sorted(path.parent for path in out.parent.glob(f"*/{RECORD}"))
    names = set(map(str, folders))
    records = [read_record(each) for each in dict.fromkeys([*users, *beside]) if each != out]
    return [read_record(out), *(each for each in records if names & set(each.folders))]


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise DatasetError if a file to write is a file to read, or is below one."""
    resolved = {path.resolve(): path for path in inputs}
    for output in outputs:
        path = output.resolve()
        for each in (path, *path.parents):
            if each in resolved and (each == path or each.is_file()):
                raise DatasetError(f"--out: {output} would replace the input {resolved[each]}, choose another folder")


def other_user(labels: Path, data: Path) -> str | None:
    """Return the .data file of another conversion that relies on a folder of labels, if there is one."""
    return next((user for user in _users(labels) if user != str(data) and os.path.isfile(user)), None)


def require_own_labels(folder_labels: Path, texts: Mapping[str, str], data: Path, overwrite: bool) -> None:
    """Raise DatasetError if a label file has another content and is not of an interrupted run of this conversion.

    Args:
        folder_labels: The folder of the labels.
        texts: Path → content of the label files that will be written.
        data: The .data file of this conversion.
        overwrite: Replace them.
    """
    changed = changed_files(texts)
    if not changed or overwrite or _users(folder_labels).get(str(data)) == WRITING:
        return
    made = "this conversion wrote" if str(data) in _users(folder_labels) else "no conversion is known to have written"
    count = counted(len(changed), "file")
    raise DatasetError(
        f"{changed[0]}: found other labels, which {made} ({count}), nothing was written: --overwrite replaces them"
    )


def changed_files(texts: Mapping[str, str]) -> list[str]:
    """Return the files that exist with another content than `texts` gives them."""
    there: dict[str, Collection[str]] = {}
    changed = []
    for path, text in texts.items():
        folder, _, name = path.rpartition("/")
        if folder not in there:
            there[folder] = frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset()
        if name in there[folder] and Path(path).read_bytes() != text.encode(errors="surrogateescape"):
            changed.append(path)
    return changed


def require_own_lists(lists: Mapping[Path, str], overwrite: bool) -> None:
    """Raise DatasetError if a list, .names or .data file exists that no conversion wrote, or a person changed."""
    if overwrite:
        return
    for path, text in lists.items():
        if not path.exists():
            continue
        found = path.read_bytes()
        known = read_record(path.parent).files.get(path.name, ())
        if found != text.encode(errors="surrogateescape") and _checksum(found) not in known:
            raise DatasetError(
                f"{path}: found a file that this conversion did not write or that was changed since, nothing was "
                "written: --overwrite replaces it"
            )


def announce(files: PlannedFiles, homes: Mapping[Path, LabelHome], record: ConversionRecord) -> None:
    """Note in the manifests that this conversion begins to write, and remove its old lists that it does not replace.

    record: of the split; its `files` are not used.
    """
    data = _data_file(files)
    old = read_record(data.parent).files
    sums = {path.name: [_checksum(text.encode(errors="surrogateescape"))] for path, text in files.lists.items()}
    for name in set(old) - set(sums):
        path = data.parent / name
        if path.is_file() and _checksum(path.read_bytes()) in old[name]:
            path.unlink()
    both = {name: sorted({*each, *old.get(name, ())}) for name, each in sums.items()}
    _write_record(data.parent, record, both)
    for home in homes.values():
        _write_users(home.labels, {**_users(home.labels), str(data): WRITING})


def conclude(files: PlannedFiles, homes: Mapping[Path, LabelHome], record: ConversionRecord) -> None:
    """Note in the manifests that everything is written."""
    data = _data_file(files)
    for home in homes.values():
        _write_users(home.labels, {**_users(home.labels), str(data): FINISHED})
    sums = {path.name: [_checksum(text.encode(errors="surrogateescape"))] for path, text in files.lists.items()}
    _write_record(data.parent, record, sums)


def _data_file(files: PlannedFiles) -> Path:
    return next(reversed(files.lists))


def _write_record(out: Path, record: ConversionRecord, files: Mapping[str, list[str]]) -> None:
    split = {"share": record.fraction, "seed": record.seed, "moved": record.moved}
    content = {"files": files, "folders": record.folders, **split}
    write_text(out / RECORD, json.dumps(content, indent=1) + "\n")


def _users(labels: Path) -> dict[str, str]:
    """Return the .data files of the conversions that use a folder of labels, each with WRITING or FINISHED."""
    content = _read(labels / MANIFEST)
    users = content.get("conversions") if isinstance(content, dict) else None
    return {str(path): str(state) for path, state in users.items()} if isinstance(users, dict) else {}


def _write_users(labels: Path, users: Mapping[str, str]) -> None:
    write_text(labels / MANIFEST, json.dumps({"conversions": users}, indent=1) + "\n")


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
