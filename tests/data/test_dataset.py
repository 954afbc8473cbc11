"""yolo.data.dataset: which images come when, how they are changed, and that all of it can be repeated."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import GROUND, cfg_text, network_of, write_set
from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.check import check_list
from yolo.data.dataset import (
    Draw,
    EvaluationImages,
    StepSampler,
    TrainingImages,
    collate,
    evaluation_loader,
    training_images,
    training_loader,
)
from yolo.data.images import ImageStore
from yolo.data.sample import METHODS, Recipe
from yolo.data.workers import prepared
from yolo.letterbox import letterboxed, stretched
from yolo.settings import ColorSettings, MixingSettings

COLOR = ColorSettings(0.1, 1.5, 1.5)
SETTINGS = AugmentationSettings(0.2, 1.2, True, COLOR)
MIXING = MixingSettings(mosaic=True, blur=7, gaussian_noise=20)
UNMIXED = MixingSettings()
PLAIN = AugmentationSettings()
SIZE = (48, 64)


def images_of(drawn, channels=3):
    return check_list(drawn.folder / "list.txt", 2, channels).images


def sampler_of(images=5, batch=4, mini_batch=2, steps=range(1, 8), size_at=None, seed=3):
    return StepSampler(images, batch, mini_batch, steps, size_at or (lambda step: SIZE), seed)


def augmented(images, settings, channels, max_boxes, mixing=UNMIXED, room=10**6):
    recipe = Recipe(METHODS["alexeyab"], settings, mixing, max_boxes)
    return TrainingImages(images, channels, recipe, ImageStore(room))


def batches(drawn, workers, steps=range(1, 5), seed=3, channels=3, room=10**6):
    images = augmented(images_of(drawn, channels), SETTINGS, channels, 200, MIXING, room=room)
    sampler = sampler_of(len(images), steps=steps, seed=seed)
    return list(prepared(training_loader(images, sampler, collate, workers, pin=False)))


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip((first.images, *first.targets), (second.images, *second.targets), strict=True)
    )


# ------------------------------------------------------------------------------------------ the sampler


def test_every_image_comes_once_each_time_through_the_list():
    indices = [draw.index for mini_batch in sampler_of(steps=range(1, 11)) for draw in mini_batch]
    assert len(indices) == 40
    rounds = np.array(indices).reshape(8, 5)  # 5 images: batches of 4 run over the ends
    assert all(sorted(each) == [0, 1, 2, 3, 4] for each in rounds.tolist())
    assert len({tuple(each) for each in rounds.tolist()}) > 1  # in changing orders


def test_mini_batches_have_their_size_and_number():
    sampler = sampler_of(batch=6, mini_batch=2, steps=range(1, 4))
    found = list(sampler)
    assert len(found) == len(sampler) == 9
    assert {len(each) for each in found} == {2}


def test_a_batch_may_be_larger_than_the_list():
    (mini_batch,) = sampler_of(images=2, batch=5, mini_batch=5, steps=range(1, 2))
    assert sorted(draw.index for draw in mini_batch[:4]) == [0, 0, 1, 1]


def test_a_later_start_gives_the_same_draws():
    whole, rest = list(sampler_of()), list(sampler_of(steps=range(4, 8)))
    assert whole[3 * 2 :] == rest


def test_draws_follow_from_seed_step_and_place():
    draws = [draw for mini_batch in sampler_of() for draw in mini_batch]
    assert len({draw.seed for draw in draws}) == len(draws)
    assert list(sampler_of()) == list(sampler_of())
    assert list(sampler_of()) != list(sampler_of(seed=4))


def test_subdivisions_do_not_change_the_draws():
    whole = [draw for each in sampler_of(mini_batch=4) for draw in each]
    parts = [draw for each in sampler_of(mini_batch=1) for draw in each]
    assert whole == parts


def test_a_step_has_one_size():
    sampler = sampler_of(size_at=lambda step: (32 * step, 64), steps=range(1, 3))
    assert [draw.size[0] for each in sampler for draw in each] == [32] * 4 + [64] * 4


# ------------------------------------------------------------------------------------------ training images


def test_an_image_and_its_labels_follow_the_draw(four):
    images = augmented(images_of(four), PLAIN, 3, max_boxes=200)
    image, labels, boxes = images[Draw(1, SIZE, (0, 1, 1, 0))]
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    assert sorted(labels.tolist()) == [0, 1]
    order = np.argsort(-labels)
    np.testing.assert_allclose(boxes[order][0], [42 / 64, 20 / 48, 24 / 64, 20 / 48])
    larger, _, same_boxes = images[Draw(1, (96, 64), (0, 1, 1, 0))]
    assert larger.shape == (96, 64, 3)
    np.testing.assert_allclose(same_boxes, boxes)


def test_at_most_max_boxes_are_kept_drawn_by_the_seed(four):
    images = augmented(images_of(four), PLAIN, 3, max_boxes=1)
    kept = [images[Draw(1, SIZE, (seed,))][1].tolist() for seed in range(20)]
    assert all(len(labels) == 1 for labels in kept)
    assert {labels[0] for labels in kept} == {0, 1}


def test_mosaics_are_made_of_other_images_of_the_list(four):
    """Every second sample has four images, the drawn one above on the left; 6 boxes on 4 images in all."""
    mixing = MixingSettings(mosaic=True)
    images = augmented(images_of(four), PLAIN, 3, 200, mixing)
    plain = augmented(images_of(four), PLAIN, 3, 200)
    mixed = 0
    for seed in range(40):
        draw = Draw(seed % 4, SIZE, (seed,))
        image, labels, boxes = images[draw]
        assert image.shape == (48, 64, 3) and boxes.shape == (len(labels), 4)
        if not np.array_equal(image, plain[draw].image):
            mixed += 1
    assert 10 <= mixed <= 30
    alone = augmented(images_of(four), PLAIN, 3, 200, mixing)
    for seed in range(20):
        alone[Draw(0, SIZE, (seed,))]
    assert {path for path, _ in alone.store.kept} == set(four.images)  # all of them were read


def test_training_images_follow_the_cfg(four):
    text = cfg_text().replace("hue=.1", "hue=.1\nmosaic=1\nblur=3\nletter_box=1\nflip=0")
    network = network_of(text.replace("jitter=.2", "jitter=.25\nresize=1.4\nmax=17"))
    made = training_images(
        images_of(four), network.input, network.training_settings, network.head_settings[-1],
        "pjreddie",
    )  # fmt: skip
    assert made.recipe.settings == AugmentationSettings(0.25, 1.4, False, COLOR, True)
    assert made.recipe.mixing == MixingSettings(mosaic=True, blur=3)
    assert made.recipe.method is METHODS["pjreddie"] and made.recipe.max_boxes == 17
    assert made.channels == 3 and len(made) == 4


def test_collate_puts_channels_first_and_boxes_image_by_image():
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)  # [H, W, C]
    box = np.full((1, 4), 0.5, np.float32)
    nothing = (image, np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    batch = collate([(image, np.array([7]), box), nothing, (image, np.array([8, 9]), np.repeat(box, 2, 0))])
    assert batch.images.shape == (3, 3, 2, 4) and batch.images.dtype == torch.uint8
    assert batch.images[0, 1, 1, 2] == image[1, 2, 1]
    assert batch.targets.image_index.tolist() == [0, 2, 2]
    assert batch.targets.labels.tolist() == [7, 8, 9]
    assert batch.targets.boxes.shape == (3, 4) and batch.targets.boxes.dtype == torch.float32
    empty = collate([nothing, nothing])
    assert empty.targets.image_index.shape == (0,) and empty.targets.boxes.shape == (0, 4)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_batches_are_the_same_for_any_number_of_workers_and_any_start(four):
    alone = batches(four, workers=0)
    assert len(alone) == 8 and alone[0].images.shape == (2, 3, 48, 64)
    assert all(map(same, alone, batches(four, workers=2)))
    assert all(map(same, alone[4:], batches(four, workers=1, steps=range(3, 5))))
    assert all(map(same, alone, batches(four, workers=0, room=0)))
    assert not all(map(same, alone, batches(four, workers=0, seed=4)))


def test_what_is_kept_before_the_workers_start_changes_no_image(four):
    plain = augmented(images_of(four), SETTINGS, 3, 200, room=10**6)
    kept = augmented(images_of(four), SETTINGS, 3, 200, room=3 * 48 * 64 * 3)
    four.images[1].rename(four.images[1].with_suffix(".gone"))
    kept.keep(SIZE)
    four.images[1].with_suffix(".gone").rename(four.images[1])
    assert [path.stem for path, _ in kept.store.kept] == ["p0", "p2", "p3"]
    assert kept.store.room == 0 and plain.store.kept == {}
    for path in (four.images[0], four.images[2]):
        path.write_bytes(b"")  # kept is kept
    loader = training_loader(kept, sampler_of(4, steps=range(1, 2)), collate, 1, pin=False)
    assert sum(len(batch.images) for batch in prepared(loader)) == 4
    large = augmented(images_of(four), SETTINGS, 3, 200)
    large.keep((24, 32))
    assert large.store.kept == {}


def test_a_gray_network_gets_one_channel(four):
    assert batches(four, 0, steps=range(1, 2), channels=1)[0].images.shape == (2, 1, 48, 64)


# ------------------------------------------------------------------------------------------ evaluation images


def test_evaluation_images_come_in_order_stretched_or_letterboxed(tmp_path):
    drawn = write_set(tmp_path / "set", [[(0, 0, 64, 48, 0)], [], [(8, 8, 24, 24, 1)]])
    images = images_of(drawn)
    loader = evaluation_loader(EvaluationImages(images, (64, 64), 3, letterboxed), 2, 0)
    (inputs, placements), (rest, _) = list(loader)
    assert inputs.shape == (2, 3, 64, 64) and rest.shape == (1, 3, 64, 64)
    assert inputs.dtype == torch.float32
    assert placements[0].offset == (8, 0) and placements[0].content == (48, 64)
    assert (inputs[1, :, 8:56] == torch.tensor(GROUND / 255)).all()  # content
    assert (inputs[1, :, :8] == 0.5).all() and (inputs[1, :, 56:] == 0.5).all()  # Darknet's gray
    (inputs, placements), _ = list(evaluation_loader(EvaluationImages(images, (64, 64), 3, stretched), 2, 0))
    assert placements[0].content == (64, 64)
    assert (inputs[1] == torch.tensor(GROUND / 255)).all()
