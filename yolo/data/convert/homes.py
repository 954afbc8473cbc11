"""Choose where the labels of each folder of images go: where Darknet looks for them, or into --out beside a link."""

from collections.abc import Collection
from pathlib import Path

from yolo.data.convert.ownership import changed_files, other_user, require_own_labels
from yolo.data.convert.plan import BACKUP, IMAGE_FOLDER, LabelHome, Plan, planned_labels
from yolo.errors import DatasetError
from yolo.files.folders import writable
from yolo.formats.label_files import IMAGE_FOLDERS

DIFFICULT = "difficult"  # folder of difficult boxes, and of COCO's crowd boxes
RESERVED = (BACKUP, DIFFICULT)  # names in --out that no data set's folder may take


def label_homes(plan: Plan, out: Path) -> dict[Path, LabelHome]:
    """Return the home of each folder of images.

    Both Darknets replace `images`, `JPEGImages` or `raw` in the images' path by `labels`, so labels go there. If the
    path has none of these parts, or that folder cannot be written, `out` gets the labels and a link to the images.

    Raises:
        DatasetError: The link would be the folder itself.
    """
    homes: dict[Path, LabelHome] = {}
    for folder in image_folders(plan):
        beside = home_beside(folder)
        if beside and writable(beside.labels) and writable(beside.difficult / "labels"):
            homes[folder] = beside
        else:
            homes[folder] = _linked_home(folder, out, homes.values())
    return homes


def own_homes(
    plan: Plan, homes: dict[Path, LabelHome], data: Path, keep_difficult: bool, overwrite: bool
) -> tuple[dict[Path, LabelHome], dict[Path, dict[str, str]]]:
    """Return the homes; where labels of another conversion would be replaced, another home in `out` with a link.

    Args:
        plan: What will be written.
        homes: As `label_homes` returns them.
        data: The .data file of this conversion.
        keep_difficult: As for `planned_labels`.
        overwrite: Replace labels that no other conversion relies on.

    Returns:
        The homes, and the label files that belong there, as `planned_labels` returns them.

    Raises:
        DatasetError: Without `overwrite`: labels would be replaced that no conversion wrote, or that were changed.
    """
    out, given, homes = data.parent, homes, dict(homes)
    texts = planned_labels(plan, homes, keep_difficult)
    for folder, home in homes.items():
        if changed_files(texts[folder]) and other_user(home.labels, data):
            others = [each for other, each in homes.items() if other != folder]
            homes[folder] = _linked_home(folder, out, others)
    if homes != given:
        texts = planned_labels(plan, homes, keep_difficult)
    for folder, home in homes.items():
        require_own_labels(home.labels, texts[folder], data, overwrite)
    return homes, texts


def image_folders(plan: Plan) -> Collection[Path]:
    """Return the folders of a plan's images, each once, in their order."""
    return dict.fromkeys(image.folder for image in plan.train + plan.valid)


def home_beside(folder: Path) -> LabelHome | None:
    """Return the home that Darknet's rule gives; None if the path has no folder that it replaces."""
    places = [at for at, part in enumerate(folder.parts) if part in IMAGE_FOLDERS]
    if not places:
        return None
    before, after = folder.parts[: places[-1]], folder.parts[places[-1] + 1 :]
    return LabelHome(folder, Path(*before, "labels", *after), Path(*before, DIFFICULT, *after))


def _linked_home(folder: Path, out: Path, others: Collection[LabelHome]) -> LabelHome:
    named = folder.parent if folder.name in IMAGE_FOLDERS else folder
    name, number = named.name, 1
    taken = {each.labels.parent for each in others}
    while name in RESERVED or out / name in taken:  # two folders of the same name
        number += 1
        name = f"{named.name}-{number}"
    home = out / name
    if (home / IMAGE_FOLDER).resolve() == folder and not (home / IMAGE_FOLDER).is_symlink():
        raise DatasetError(f"{folder}: labels cannot be written beside it, and it is in --out; choose another")
    return LabelHome(home / IMAGE_FOLDER, home / "labels", home / DIFFICULT)
