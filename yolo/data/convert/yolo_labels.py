"""Plan lists to train and to score on, from lists and folders of images with Darknet's label files."""

import ast
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from yolo.data.convert.ownership import is_output
from yolo.data.convert.plan import LabelRow, Plan, PlannedImage, like_names
from yolo.data.convert.splitting import OWN_LISTS, key_of, own_list_of
from yolo.data.parallel import in_threads
from yolo.data_file import check_data_files, read_data
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError, counted, shorten
from yolo.files.folders import files_below, visible
from yolo.files.located import locate_beside
from yolo.files.text import read_text
from yolo.formats.label_files import label_candidates, label_files, list_lines, read_list, read_rows
from yolo.names_file import read_classes
from yolo.records import Problem

NO_LABELS = "image without a label file"
BAD_ROW = "row of a label file that training will not take"
ANY_CLASS = 10_000  # ours: classes of labels without names; YOLO9000 has 9,418
NAMES_FILES = (
    "classes.txt",
    "obj.names",
    "data.yaml",
    "data.yml",
    "_darknet.labels",
    "labels.txt",
)  # LabelImg, CVAT ...
KEY_PARTS = 2  # of the path of a listed image: its folder and its name
INNER_NAMES_FILES = ("classes.txt", "obj.names", "_darknet.labels", "data.yaml", "data.yml")  # also in subfolders
LISTS = {"train": ("train",), **OWN_LISTS}  # a data set's own lists, NAME.txt, as Darknet and CVAT write them
LISTS_DEPTH = 2  # of folders, the data set's own included, in which they are looked for
YAML_NAMES = re.compile(r"^names:[ \t]*(.*(?:\n(?![A-Za-z]).*)*)", re.MULTILINE)
QUOTED = r"""'(?:[^'\n]|'')*'|"(?:[^"\\\n]|\\.)*\""""
YAML_COMMENT = re.compile(rf"({QUOTED})|(?:(?<=\s)|^)#[^\n]*", re.MULTILINE)
YAML_NUMBER = r"""(?P<quote>["']?)(?P<number>[0-9]+)(?P=quote)\s*:"""
YAML_ITEM = re.compile(rf"^\s*(?:-|{YAML_NUMBER})\s+(?P<name>.+?)\s*$", re.MULTILINE)
YAML_FLOW_ITEM = re.compile(rf"\s*(?:{YAML_NUMBER}\s*)?(?P<name>{QUOTED}|[^,\]}}]+?)\s*(?=[,\]}}])")


@dataclass(frozen=True)
class LabeledSource:
    """Images with label files: path and key of each.

    own_lists: images to train on and to score on, as the source has them, or all images and none. names: those of the
    source, or None; ambiguous: why there are none, if there are several. elsewhere: image → its label file, if Darknet
    finds the label file of no image. title: of the data set; files: list files that were read.
    """

    own_lists: tuple[tuple[tuple[Path, str], ...], tuple[tuple[Path, str], ...]]
    names: tuple[str, ...] | None
    title: str
    files: tuple[Path, ...] = ()
    unused: tuple[str, ...] = ()
    ambiguous: str = ""
    elsewhere: Mapping[Path, Path] = field(default_factory=dict)


def read_labeled(path: Path, whole: bool) -> LabeledSource:
    """Read a list of images, a .data file with such lists, a folder of images, or a folder with one .data file.

    whole: for a split: take also the images in the folder `test`.

    Raises:
        DatasetError: there is no image, or a list or .data file is faulty.
        OSError: a file does not exist or cannot be read.
    """
    if path.is_dir():
        files = [*files_below(path, is_output)]
        images = [each for each in files if each.lower().endswith(IMAGE_ENDINGS)]
        if not images and is_output(path):
            return _read_data(path)
        return _read_folder(path.resolve(), images, files, whole)
    if path.suffix.lower() == ".data":
        return _read_data(path)
    return LabeledSource((_listed(path), ()), _names_in(path.parent), path.stem, (path,))


def _listed(path: Path) -> tuple[tuple[Path, str], ...]:
    """Return path and key of each image of a list, each once."""
    return _with_keys(read_list(path))


def _with_keys(images: Iterable[Path]) -> tuple[tuple[Path, str], ...]:
    absolute = dict.fromkeys(Path(os.path.abspath(image)) for image in images)
    return tuple((image, listed_key(image)) for image in absolute)


def listed_key(image: Path) -> str:
    """Return the key of an image of a list: its folder and its name. The rest of the path depends on the machine."""
    return key_of("/".join(image.parts[-KEY_PARTS:]))


def plan_labeled(source: LabeledSource, names: Sequence[str] | None) -> Plan:
    """Read the label files and plan the source's own lists.

    Images without a label file and rows that training does not use are among the `repairs`; no image is left out.
    names: None: those of the source, or else the numbers up to the highest class.

    Raises:
        DatasetError: no image has a label file, or the source has several different lists of names.
        OSError: a label file cannot be read.
    """
    if names is None and source.ambiguous:
        raise DatasetError(source.ambiguous)
    names = source.names if names is None else tuple(names)
    classes = ANY_CLASS if names is None else len(names)
    images = dict.fromkeys(source.own_lists[0] + source.own_lists[1])

    def labels_of(image: tuple[Path, str]) -> tuple[tuple[LabelRow, ...], list[Problem]]:
        if source.elsewhere:
            return _read_labels(image[0], source.elsewhere.get(image[0]), classes, keep_boxes=True)
        return _read_labels(image[0], next(label_files(image[0]), None), classes, keep_boxes=False)

    read = dict(zip(images, in_threads(labels_of, images), strict=True))
    notes = [note for labels, found in read.values() for note in found]
    if all(note.kind == NO_LABELS for note in notes) and len(notes) == len(images):
        first = next(iter(images))[0]
        looked = ", ".join(str(candidate) for candidate in label_candidates(first))
        raise DatasetError(f"found no label file for any of {counted(len(images), 'image')}: looked for {looked}")
    bad = [note.message for note in notes if note.kind == BAD_ROW]
    if bad and not any(rows for rows, _ in read.values()):
        raise DatasetError(f"{bad[0]}; none of the {counted(len(bad), 'row')} of all label files is usable")
    if names is None:
        names = tuple(map(str, range(1 + max((row.label for rows, _ in read.values() for row in rows), default=0))))
    planned = {
        (path, key): PlannedImage(path.parent, path.name, path.name, path.is_file(), rows, 0, key)
        for (path, key), (rows, _) in read.items()
    }
    train, valid = (tuple(planned[image] for image in dict.fromkeys(images)) for images in source.own_lists)
    return Plan(train, valid, names, (), (*like_names(names), *notes))


def _read_labels(
    image: Path, file: Path | None, classes: int, keep_boxes: bool
) -> tuple[tuple[LabelRow, ...], list[Problem]]:
    """Return the usable rows of an image's label file, and remarks for the user. Without keep_boxes, boxes are ""."""
    if file is None:
        return (), [Problem(NO_LABELS, f"{image}: training takes it as background")]
    rows, faults = read_rows(file, classes)
    made = (LabelRow(int(row[0]), False, " ".join(map(repr, row[1:])) if keep_boxes else "") for _, row in rows)
    return tuple(made), [Problem(BAD_ROW, fault) for fault in faults]


def _read_data(path: Path) -> LabeledSource:
    data = read_data(path)
    if data.train is None:
        raise DatasetError(f"{data.path}: expected the key train")
    check_data_files(data, "train", "valid", "names")
    files = (data.train,) if data.valid is None else (data.train, data.valid)
    lists = [_listed(file) for file in files]
    names = None if data.names is None else read_classes(data.names)
    unused = () if data.difficult is None else (f"{data.difficult} (its boxes count as background)",)
    return LabeledSource((lists[0], lists[1] if len(lists) > 1 else ()), names, data.name, files, unused)


def _read_folder(folder: Path, images: Sequence[str], files: Sequence[str], whole: bool) -> LabeledSource:
    """Return the source of a folder. images, files: in and below it, relative to it."""
    if not images:
        raise DatasetError(f"{folder}: found no image ({' '.join(IMAGE_ENDINGS)}) in or below this folder")
    everything = tuple((folder / image, key_of(image)) for image in images)
    names, ambiguous = _names_in(folder), ""
    if names is None:
        names, ambiguous = _names_below(folder, files)
    listed = None if whole else _own_list_files(folder, files)
    source = _listed_source(folder, everything, listed) if listed else _divided_source(folder, everything, whole)
    return replace(source, names=names, ambiguous=ambiguous, elsewhere=_elsewhere(folder, images, files))


def _elsewhere(folder: Path, images: Sequence[str], files: Sequence[str]) -> dict[Path, Path]:
    """Return the label file of each image if all are where Darknet does not look, such as Images/ and Labels/.

    It is at the same place as the image but for folders such as `Labels`, or else the only text with the only image's
    name.
    """
    if any(next(label_files(folder / image), None) for image in images):
        return {}
    texts = [file for file in files if file.lower().endswith(".txt")]
    by_key, by_stem, times = {key_of(text): text for text in texts}, _by_stem(texts), _by_stem(images)
    found = {}
    for image in images:
        stem = os.path.splitext(os.path.basename(image))[0]
        only = by_stem.get(stem, ())
        text = by_key.get(key_of(image)) or (only[0] if len(only) == len(times[stem]) == 1 else None)
        if text:
            found[folder / image] = folder / text
    return found


def _by_stem(files: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(os.path.splitext(os.path.basename(file))[0], []).append(file)
    return found


def _divided_source(folder: Path, everything: tuple[tuple[Path, str], ...], whole: bool) -> LabeledSource:
    """Return the source of a folder with its own division into train/, valid/ and test/, if it has one."""
    lists: dict[str, list[tuple[Path, str]]] = {}
    for image in everything:
        lists.setdefault(own_list_of(image[1]), []).append(image)
    scored = next((split for split in ("valid", "test") if split in lists), None)
    if whole or "train" not in lists or scored is None:
        return LabeledSource((everything, ()), None, folder.name)
    unused = tuple(
        f"{folder}/{split} ({counted(len(lists[split]), 'image')})" for split in lists if split not in ("train", scored)
    )
    return LabeledSource((tuple(lists["train"]), tuple(lists[scored])), None, folder.name, (), unused)


def _own_list_files(folder: Path, files: Sequence[str]) -> tuple[Path, Path] | None:
    """Return the lists of images that a data set's folder holds: to train on, and to score on; None if it has none.

    Both are in one folder, such as Darknet's data/train.txt and data/test.txt, and each names an image that is there.
    """
    by_place: dict[str, dict[str, Path]] = {}
    for file in files:
        place, name = os.path.split(file.lower())
        stem, ending = os.path.splitext(name)
        which = next((which for which, stems in LISTS.items() if stem in stems), None)
        if which and ending == ".txt" and len(Path(file).parts) <= LISTS_DEPTH:
            by_place.setdefault(place, {}).setdefault(which, folder / file)
    for lists in by_place.values():
        scored = lists.get("valid", lists.get("test"))
        if "train" in lists and scored and all(_names_an_image(each) for each in (lists["train"], scored)):
            return lists["train"], scored
    return None


def _names_an_image(path: Path) -> bool:
    """Whether the first line of a text is the path of an image that is there."""
    line = next((line for line in read_text(path).splitlines() if line.strip()), "")
    return line.lower().strip().endswith(IMAGE_ENDINGS) and locate_beside(line.strip(), path.parent).is_file()


def _listed_source(folder: Path, everything: tuple[tuple[Path, str], ...], files: tuple[Path, Path]) -> LabeledSource:
    """Return the source of a folder that holds lists of its images."""
    known = {image.resolve(): (image, key) for image, key in everything}
    lists = [_with_keys(locate_beside(line, file.parent) for _, line in list_lines(file)) for file in files]
    train, valid = (tuple(known.get(image.resolve(), (image, key)) for image, key in each) for each in lists)
    unknown = dict.fromkeys(image for image, _ in (*train, *valid) if not image.is_file())
    train, valid = (tuple(each for each in images if each[0] not in unknown) for images in (train, valid))
    rest = len(known.keys() - {image.resolve() for image, _ in (*train, *valid)})
    of = f"of {files[0]}, {files[1].name}"
    unused = [f"{counted(rest, 'image')} in none {of}"] if rest else []
    if unknown:
        unused.append(f"{counted(len(unknown), 'row')} {of} without an image (such as {next(iter(unknown))})")
    return LabeledSource((train, valid), None, folder.name, files, tuple(unused))


def _names_in(folder: Path) -> tuple[str, ...] | None:
    """Return the class names that a program left in a folder; None if there is no such file."""
    files = [folder / name for name in NAMES_FILES]
    for pattern in ("*.names", "*.y*ml"):
        found = visible(folder, pattern)
        files += found if len(found) == 1 else ()
    return next((names for file in files if file.is_file() and (names := _names_of(file))), None)


def _names_of(file: Path) -> tuple[str, ...] | None:
    return yaml_names(file) if file.suffix in (".yaml", ".yml") else read_classes(file)


def _names_below(folder: Path, files: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """Return the class names that a program left in subfolders, those of the uppermost ones, or why they are ambiguous.

    Files at the same depth with other names, or in another order, make the number in a label ambiguous. One that only
    begins as another does not.
    """
    found: dict[int, dict[Path, tuple[str, ...]]] = {}
    for file in files:
        if os.path.basename(file) in INNER_NAMES_FILES and (names := _names_of(folder / file)):
            found.setdefault(file.count("/"), {})[folder / file] = names
    if not found:
        return None, ""
    (first, names), *others = found[min(found)].items()
    for other, other_names in others:
        if other_names[: len(names)] == names:  # LabelImg adds a name when it is first used
            first, names = other, other_names
        elif names[: len(other_names)] != other_names:
            expected = "expected the same; choose with --names"
            return None, f"{other}: found other classes than in {first}, {expected}"
    return names, ""


def yaml_names(path: Path) -> tuple[str, ...] | None:
    """Return `names` of a data.yaml as Roboflow and other programs write it; None if there are none in a known form.

    It is a list or a map in brackets, or one item a line: `- cat` or `0: cat`. Items with numbers may be in any order.

    Raises:
        DatasetError: the numbers of a map are not 0, 1, 2 ...
    """
    found = YAML_NAMES.search(read_text(path))
    if found is None:
        return None
    text = YAML_COMMENT.sub(lambda match: match[1] or "", found[1]).strip()
    pattern, text = (YAML_FLOW_ITEM, text[1:]) if text[:1] in ("[", "{") else (YAML_ITEM, text)
    items = [(match["number"], match["name"]) for match in pattern.finditer(text)]
    numbers = [int(number) for number, _ in items if number]
    if numbers and sorted(numbers) != [*range(len(items))]:
        shown = shorten(", ".join(map(str, sorted(numbers))))
        raise DatasetError(f"{path}: names: found the numbers {shown}, expected 0 to {len(items) - 1}, each once")
    names = [_unquoted(name) for _, name in items]
    return tuple(names[numbers.index(label)] for label in range(len(names))) if numbers else tuple(names) or None


def _unquoted(text: str) -> str:
    text = re.sub(r"\s*\n\s*", " ", text)  # programs break long lines also inside a name
    if text[:1] == "'" == text[-1:]:
        return text[1:-1].replace("''", "'").strip()
    return (ast.literal_eval(text) if text[:1] == '"' == text[-1:] else text).strip()
