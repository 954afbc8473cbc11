"""Counts of one list: objects and images of each class, objects of an image, sizes of images."""

from dataclasses import dataclass

import numpy as np

from yolo.data.labeled_images import LabeledImages

MOST_SIZES = 8  # of images, the most frequent ones
MOST_OF_AN_IMAGE = 20  # objects; images with more are counted together
SHIFT_FACTOR, SHIFT_ERRORS = 1.5, 4.0  # see shifted_classes


@dataclass(frozen=True)
class ListCounts:
    """name: train or valid. images, objects, difficult: of all. empty: images without an object.

    class_objects, class_images: of each class, objects and images with one. per_image: how many images have 0, 1 ...
    MOST_OF_AN_IMAGE objects, the last also more. most: objects of the fullest image. sizes: ((width, height), images),
    the most frequent first; other_sizes: how many others there are. least, largest: (width, height) by area.
    """

    name: str
    images: int
    objects: int
    difficult: int
    empty: int
    class_objects: tuple[int, ...]
    class_images: tuple[int, ...]
    per_image: tuple[int, ...]
    most: int
    sizes: tuple[tuple[tuple[int, int], int], ...]
    other_sizes: int
    least: tuple[int, int]
    largest: tuple[int, int]


def count_list(name: str, images: LabeledImages, classes: int) -> ListCounts:
    """Count the usable images of a list; labels are below `classes`."""
    ground_truth = images.ground_truth
    labels, image = ground_truth.labels, ground_truth.image_index()
    per_image = np.bincount(image, minlength=len(images))
    pairs = np.unique(image * classes + labels)
    different, counts = np.unique(images.sizes[:, ::-1], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_SIZES]
    by_area = different[np.argsort(different.prod(axis=1), kind="stable")]
    return ListCounts(
        name=name,
        images=len(images),
        objects=len(labels),
        difficult=len(images.difficult.labels),
        empty=int((per_image == 0).sum()),
        class_objects=tuple(np.bincount(labels, minlength=classes).tolist()),
        class_images=tuple(np.bincount(pairs % classes, minlength=classes).tolist()),
        per_image=tuple(np.bincount(per_image.clip(max=MOST_OF_AN_IMAGE), minlength=MOST_OF_AN_IMAGE + 1).tolist()),
        most=int(per_image.max(initial=0)),
        sizes=tuple((tuple(different[each].tolist()), int(counts[each])) for each in order),
        other_sizes=max(len(different) - MOST_SIZES, 0),
        least=tuple(by_area[0].tolist()) if len(by_area) else (0, 0),
        largest=tuple(by_area[-1].tolist()) if len(by_area) else (0, 0),
    )


def shifted_classes(train: ListCounts, valid: ListCounts) -> list[tuple[int, float, float]]:
    """Return (class, part of the train objects, part of the valid objects) where the two differ beyond chance.

    Beyond chance: by a factor of SHIFT_FACTOR, and by SHIFT_ERRORS standard errors of the difference of two parts. The
    objects of one image are not independent, so that the errors are too small; the factor keeps small shifts out.
    """
    found = []
    first, second = max(train.objects, 1), max(valid.objects, 1)
    for label, (one, other) in enumerate(zip(train.class_objects, valid.class_objects, strict=True)):
        both = (one + other) / (first + second)
        error = (both * (1 - both) * (1 / first + 1 / second)) ** 0.5
        low, high = sorted((one / first, other / second))
        if error and high - low > SHIFT_ERRORS * error and high > SHIFT_FACTOR * low:
            found.append((label, one / first, other / second))
    return sorted(found, key=lambda each: -abs(np.log((each[1] + 1e-9) / (each[2] + 1e-9))))
