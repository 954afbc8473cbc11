"""yolo.data.classifier_dataset: pixels and ground truth of a classifier's batches, and that all of it can be
repeated."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import write_image
from yolo.data.augment.classifier import ClassifierSettings
from yolo.data.class_folders import read_classified
from yolo.data.classifier_dataset import (
    ClassificationImages,
    collate_classified,
    smooth_ground_truth,
    tree_ground_truth,
)
from yolo.data.dataset import Draw, StepSampler, training_loader
from yolo.data.workers import prepared
from yolo.errors import CfgError, DatasetError
from yolo.model.class_tree import read_tree
from yolo.settings import ColorSettings, CropSettings, MixingSettings

NAMES = ("a", "b", "c")
COLORS = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200)}
SIZE = (24, 32)
TREE = "animal -1\nplant -1\ncat 0\ndog 0\n"


@pytest.fixture
def images(tmp_path):
    """Two images a class, all of the class's color."""
    for name, color in COLORS.items():
        for number in range(2):
            pixels = np.empty((40, 60, 3), np.uint8)
            pixels[:] = color
            write_image(tmp_path / "set" / name / f"{number}.png", pixels)
    return read_classified(tmp_path / "set", NAMES).images


def settings(**mixing):
    crop = CropSettings(10.0, 1.2, 40, 60)
    return ClassifierSettings(crop, ColorSettings(0.0, 1.0, 1.0), MixingSettings(**mixing), True, 32)


def dataset(images, eps=0.0, tree=None, channels=3, **mixing):
    return ClassificationImages(images, settings(**mixing), channels, 3, eps, tree)


def draws(index=0, count=60):
    return [Draw(index, SIZE, (7, 1, number)) for number in range(count)]


def batches(images, workers, steps=range(1, 5), seed=3):
    data = dataset(images, 0.1, mosaic=True, cutmix=True, blur=1)
    sampler = StepSampler(len(images), 4, 2, steps, lambda step: SIZE, seed)
    return list(prepared(training_loader(data, sampler, collate_classified, workers, pin=False)))


def test_an_image_and_its_ground_truth(images):
    image, target = dataset(images)[Draw(2, SIZE, (0,))]
    assert image.shape == (24, 32, 3) and image.dtype == np.uint8
    assert (image[12, 16] == COLORS["b"]).all()
    assert target.dtype == np.float32 and target.tolist() == [0, 1, 0]


def test_gray_images(images):
    image, _ = dataset(images, channels=1, mixup=True, blur=1)[Draw(0, SIZE, (0,))]
    assert image.shape == (24, 32, 1)


def test_mixed_ground_truth_is_the_fraction_of_the_pixels(images):
    """The images are of one color each, so that a class's fraction can be counted.

    Unturned none ends in black, but its last column or row may be darker: there Darknet interpolates with what is
    beyond, 0.
    """
    crop = CropSettings(0.0, 1.0, 40, 60)
    still = ColorSettings(0.0, 1.0, 1.0)
    for kind in ("cutmix", "mosaic"):
        mixing = MixingSettings(**{kind: True})
        data = ClassificationImages(images, ClassifierSettings(crop, still, mixing, True, 32), 3, 3)
        mixed = 0
        for draw in draws():
            image, target = data[draw]
            assert (image.max(axis=2) > 0).all()
            seen = [(image.argmax(axis=2) == channel).mean() for channel in range(3)]
            np.testing.assert_allclose(target, seen, atol=1e-6)
            mixed += target.max() < 1
        assert mixed > 10, kind


def test_mixup_ground_truth_is_half_of_each(images):
    data = dataset(images, mixup=True)
    targets = {tuple(data[draw][1].tolist()) for draw in draws(index=0)}
    assert targets == {(1, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5)}


def test_smoothing_by_hand():
    """AlexeyAB fill_truth_smooth: 1 - eps, and eps / (classes - 1) for the others."""
    np.testing.assert_allclose(smooth_ground_truth(2, 5, 0.2), [0.05, 0.05, 0.8, 0.05, 0.05])
    assert smooth_ground_truth(1, 3, 0.0).tolist() == [0, 1, 0]
    assert smooth_ground_truth(0, 1, 0.1).tolist() == [1]


def test_smoothed_and_mixed_ground_truth_adds_up_to_1(images):
    data = dataset(images, eps=0.3, mosaic=True)
    assert all(abs(data[draw][1].sum() - 1) < 1e-6 for draw in draws(count=20))


def test_ground_truth_in_a_hierarchy_is_the_whole_path(tmp_path, images):
    (tmp_path / "x.tree").write_text(TREE)
    tree = read_tree(tmp_path / "x.tree")
    assert tree_ground_truth(2, tree).tolist() == [1, 0, 1, 0]
    assert tree_ground_truth(1, tree).tolist() == [0, 1, 0, 0]
    _, target = dataset(images, tree=tree)[Draw(5, SIZE, (0,))]
    assert target.tolist() == [1, 0, 1, 0]


def test_smoothing_that_makes_no_sense_is_refused(tmp_path, images):
    (tmp_path / "x.tree").write_text(TREE)
    tree = read_tree(tmp_path / "x.tree")
    with pytest.raises(CfgError, match=r"label_smooth_eps=0.1 with a class hierarchy, expected 0"):
        dataset(images, eps=0.1, tree=tree)
    with pytest.raises(CfgError, match="label_smooth_eps=2, expected 0 to 1"):
        dataset(images, eps=2.0)


def test_batches_have_their_shapes_and_kinds(images):
    first = batches(images, 0)[0]
    assert first.images.shape == (2, 3, 24, 32) and first.images.dtype == torch.uint8
    assert first.targets.shape == (2, 3) and first.targets.dtype == torch.float32


def test_batches_follow_from_the_seed_for_any_workers_and_first_step(images):
    def same(one, other):
        pairs = zip(one, other, strict=True)
        return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))

    whole = batches(images, 0)
    assert same(whole, batches(images, 2))
    assert same(whole[4:], batches(images, 0, steps=range(3, 5)))
    assert not same(whole, batches(images, 0, seed=4))


def test_an_image_that_has_gone_bad_is_one_line(images):
    images[0].path.write_text("no image")
    with pytest.raises(DatasetError, match="a/0.png: found text"):
        batches(images, 2)
