"""Find the annotations of a data set and the image of each, in the layouts that programs write.

`DIR:SET` is PASCAL's layout. A plain folder is searched: images and XML files in one folder or in two
(images/ + annotations/, JPEGImages/ + Annotations/ ...), with subfolders, and the folders train/, valid/ and test/ that
Roboflow exports.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from yolo.data.convert.ownership import is_output
from yolo.data.convert.splitting import key_of, own_list_of
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError, counted
from yolo.files.folders import files_below, visible
from yolo.formats.voc_xml import ImageSet, annotation_folder, first_folder, image_files, read_image_sets
from yolo.records import Problem

SET_PAIRS = (("train", "val"), ("train", "valid"), ("trainval", "test"), ("train", "test"))  # best first
SET_NAMES = ("train", "val", "valid", "trainval", "test", "default")  # after a class and _, in lists of one class


class VocEntry(NamedTuple):
    """An annotation and its image.

    annotation: the XML file. folder, name: of the image's file; of where it is expected if it is not there.
    key: `key_of` the image's path in its data set, or its identifier in an image set.
    """

    annotation: str
    folder: Path
    name: str
    is_there: bool
    key: str

    @property
    def image(self) -> str | None:
        """The file of the image; None if it is not there."""
        return f"{self.folder}/{self.name}" if self.is_there else None


@dataclass(frozen=True)
class VocSource:
    """The entries of a data set, and the problems of its lists.

    unannotated: images without an annotation; unused: lists or folders of the data set that are not in it.
    """

    train: tuple[VocEntry, ...] = ()
    valid: tuple[VocEntry, ...] = ()
    problems: tuple[Problem, ...] = ()
    unannotated: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def read_sets(sets: Sequence[ImageSet]) -> tuple[tuple[VocEntry, ...], tuple[Problem, ...]]:
    """Return the entries of image sets, each once, and the problems of their rows.

    Raises:
        DatasetError: an image set does not exist.
    """
    rows, problems = read_image_sets(sets)
    layouts = {each.folder: _pascal_layout(each.folder) for each in sets}
    entries = []
    places: dict[
        tuple[Path, str], Path
    ] = {}  # one object for each folder, because the comparison of equal paths is slow
    for folder, identifier in rows:
        annotations, images, names = layouts[folder]
        name = names.get(identifier)
        inner, _, file = (name or identifier + IMAGE_ENDINGS[0]).rpartition("/")
        path = f"{annotations}/{identifier}.xml"
        place = places.get((images, inner)) or places.setdefault((images, inner), images / inner)
        entries.append(VocEntry(path, place, file, name is not None, identifier))
    return tuple(entries), tuple(problems)


def joined(sources: Iterable[VocSource]) -> VocSource:
    """Join several sources; each entry is in a list once."""
    sources = [*sources]

    def all_of(part: str) -> tuple:
        return tuple(dict.fromkeys(each for source in sources for each in getattr(source, part)))

    return VocSource(*(all_of(part.name) for part in fields(VocSource)))


def read_folder(folder: Path, whole: bool) -> VocSource:
    """Return the entries of a data set's folder, with its own lists: image sets, or train/ and valid/.

    whole: take everything as one list to train on instead, for a split.

    Raises:
        DatasetError: there is no XML file in the folder, or no image.
    """
    roots = _with_lists([folder, *_subfolders(folder)])
    roots = roots or _with_lists(each for inner in _subfolders(folder) for each in _subfolders(inner))  # VOCdevkit/
    if roots and not whole:
        return _with_image_sets(roots)
    entries, unannotated = find_pairs(folder)
    lists: dict[str, list[VocEntry]] = {}
    for entry in entries:
        lists.setdefault("train" if whole else own_list_of(entry.key), []).append(entry)
    scored = next((split for split in ("valid", "test") if split in lists), None)
    if "train" not in lists or scored is None:
        return VocSource(entries, (), (), unannotated)
    unused = [
        f"{folder}/{split} ({counted(len(lists[split]), 'image')})" for split in lists if split not in ("train", scored)
    ]
    return VocSource(tuple(lists["train"]), tuple(lists[scored]), (), unannotated, tuple(unused))


def find_pairs(folder: Path) -> tuple[tuple[VocEntry, ...], tuple[str, ...]]:
    """Return an entry for each XML file in and below a folder, and the images that no XML file belongs to.

    The image of `a/x.xml` is the one named `x` with any ending, or else `X`, as Windows has it; of several, the one in
    the same folder, or in the folder that differs only in parts such as `images` and `annotations`.

    Raises:
        DatasetError: there is no XML file or no image.
    """
    files = [*files_below(folder, is_output)]
    annotations = [each for each in files if each.lower().endswith(".xml")]
    images = [each for each in files if each.lower().endswith(IMAGE_ENDINGS)]
    for what, found in (("annotation (.xml)", annotations), (f"image ({' '.join(IMAGE_ENDINGS)})", images)):
        if not found:
            other = f"{counted(len(annotations), 'XML file')}, {counted(len(images), 'image')}"
            raise DatasetError(f"{folder}: found no {what} in or below this folder ({other})")
    by_stem: dict[str, list[str]] = {}
    by_lower: dict[str, list[str]] = {}
    for image in images:
        name = os.path.basename(image)
        by_lower.setdefault(os.path.splitext(name)[0].lower(), []).append(image)
        for stem in (os.path.splitext(name)[0], name):
            by_stem.setdefault(stem, []).append(image)
    entries, used = [], set()
    stems = {annotation: os.path.basename(annotation)[: -len(".xml")] for annotation in annotations}
    times = Counter(map(str.lower, stems.values()))
    for annotation, stem in stems.items():
        similar = by_lower.get(stem.lower(), ())
        is_only = len(similar) == times[stem.lower()] == 1
        image = _nearest(annotation, by_stem.get(stem) or (similar if is_only else ()))
        if image is not None:
            used.add(image)
        entries.append(entry_of(folder, annotation, image))
    return tuple(entries), tuple(f"{folder}/{image}" for image in images if image not in used)


def entry_of(folder: Path, annotation: str, image: str | None) -> VocEntry:
    """Return the entry of an annotation and an image, both relative to `folder`; None: the image is not there."""
    path = image or f"{annotation[: -len('.xml')]}{IMAGE_ENDINGS[0]}"
    inner, _, name = path.rpartition("/")
    return VocEntry(f"{folder}/{annotation}", folder / inner, name, image is not None, key_of(path))


def _pascal_layout(folder: Path) -> tuple[Path, Path, Mapping[str, str]]:
    """Return the folders of annotations and images of PASCAL's layout, and the images by their identifiers."""
    images = first_folder(folder, "JPEGImages", "images", "Images")
    return annotation_folder(folder), images, image_files(images)


def _with_image_sets(roots: Iterable[Path]) -> VocSource:
    train, valid, unused = [], [], []
    for root in roots:
        sets = _image_sets(root)
        pair = next((pair for pair in SET_PAIRS if set(pair) <= set(sets)), None)
        if pair:
            train.append(sets[pair[0]])
            valid.append(sets[pair[1]])
        else:  # CVAT's default.txt
            train += [sets[name] for name in sorted(set(sets) - {"test"} or sets)]
        used = {each.name for each in (*train, *valid) if each.folder == root}
        unused += [f"{root}:{name}" for name in ("trainval", "test") if name in set(sets) - used and "train" in sets]
    lists, problems = zip(read_sets(train), read_sets(valid), strict=True)
    return VocSource(*lists, (*problems[0], *problems[1]), (), tuple(unused))


def _image_sets(root: Path) -> dict[str, ImageSet]:
    """Return the image sets of a folder by their names.

    PASCAL and CVAT write lists of one class, such as cat_train, beside the list of all images, train. VoTT writes only
    those: then train is all of them together.
    """
    names = [each.stem for each in visible(root / "ImageSets" / "Main", "*.txt")]
    whole = [name for name in names if not any(name.endswith(f"_{other}") for other in names)]
    by_set: dict[str, list[str]] = {}
    for name in whole:
        by_set.setdefault(name.rpartition("_")[2], []).append(name)
    if all("_" in name for name in whole) and set(by_set) <= {*SET_NAMES}:
        return {name: ImageSet(root, name, tuple(lists)) for name, lists in by_set.items()}
    return {name: ImageSet(root, name) for name in whole}


def _with_lists(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if (folder / "ImageSets" / "Main").is_dir()]


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as found:
        return sorted(Path(each.path) for each in found if each.is_dir() and not each.name.startswith("."))


def _nearest(annotation: str, images: Sequence[str]) -> str | None:
    """Return the image that belongs to an annotation, of those with its name; None if that is uncertain."""
    if len(images) == 1:
        return images[0]
    place = os.path.dirname(key_of(annotation))
    same = [each for each in images if os.path.dirname(key_of(each)) == place]
    same = [each for each in same if os.path.dirname(each) == os.path.dirname(annotation)] or same
    folders = {os.path.dirname(each) for each in same}
    if len(folders) != 1:
        return None
    return min(same, key=lambda each: IMAGE_ENDINGS.index(os.path.splitext(each)[1].lower()))
