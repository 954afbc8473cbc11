"""yolo.data.convert.splitting: an image's list depends on its name alone, and rare classes are in both lists."""

import hashlib
from pathlib import Path

import pytest

from yolo.data.convert.plan import LabelRow, Plan, PlannedImage
from yolo.data.convert.splitting import hash_of, key_of, own_list_of, split_plan


def image(key, *labels):
    return PlannedImage(Path("d"), f"{key}.jpg", "", True, tuple(LabelRow(each, False, "") for each in labels), 0, key)


def split(images, fraction=0.2, seed=0, moved=None):
    """The keys of the list to score on, and those that were moved."""
    names = tuple(map(str, range(9)))
    plan, made = split_plan(Plan(tuple(images), (), names, ()), fraction, seed, moved or {})
    assert sorted(each.key for each in plan.train + plan.valid) == sorted(each.key for each in images)
    return {each.key for each in plan.valid}, made.moved


def test_the_list_is_the_one_of_the_first_bytes_of_sha_256():
    keys = [f"img_{number}" for number in range(300)]
    first = {key: int(hashlib.sha256(f"7:{key}".encode()).hexdigest()[:16], 16) / 2**64 for key in keys}
    valid, moved = split([image(key, 0) for key in keys], 0.3, 7)
    assert valid == {key for key in keys if first[key] < 0.3} and not moved
    assert 60 < len(valid) < 120


def test_more_images_and_another_order_move_none():
    few = [image(f"a{number}", number % 3) for number in range(60)]
    more = [image(f"b/{number}", number % 3) for number in range(400)]
    before, _ = split(few)
    after, _ = split([*reversed(more), *reversed(few)])
    assert before == {key for key in after if key.startswith("a")} and 0 < len(before) < 60


def test_another_seed_is_another_split():
    images = [image(str(number), 0) for number in range(200)]
    assert split(images, seed=1)[0] != split(images, seed=2)[0]


def test_a_class_that_would_be_in_one_list_only_gets_its_image_nearest_to_the_threshold():
    common = [image(f"c{number}", 0) for number in range(50)]
    rare = sorted(
        (f"r{number}" for number in range(400) if hash_of(f"r{number}", 0) >= 0.2), key=lambda k: hash_of(k, 0)
    )
    valid, moved = split([*common, *(image(key, 1) for key in rare[5:11])])
    assert moved == {rare[5]: True} and valid & set(rare) == {rare[5]}
    often = sorted(
        (f"o{number}" for number in range(400) if hash_of(f"o{number}", 0) < 0.2), key=lambda k: hash_of(k, 0)
    )
    valid, moved = split([*common, *(image(key, 1) for key in often[:4])])
    assert moved == {often[3]: False} and valid & set(often) == set(often[:3])


def test_what_was_moved_stays_when_more_images_come():
    rare = [f"r{number}" for number in range(400) if hash_of(f"r{number}", 0) >= 0.2][:5]
    natural = next(f"n{number}" for number in range(400) if hash_of(f"n{number}", 0) < 0.2)
    common = [image(f"c{number}", 0) for number in range(50)]
    valid, moved = split([*common, *(image(key, 1) for key in rare)])
    later, still = split([*common, *(image(key, 1) for key in [*rare, natural])], moved=moved)
    assert later == valid | {natural} and still == moved
    assert split([*common, *(image(key, 1) for key in [*rare, natural])])[0] != later  # without memory


@pytest.mark.parametrize("images", [2, 3, 5, 10])
def test_both_lists_have_an_image_however_few_there_are(images):
    for seed in range(20):
        for keys in ([image(str(number), 0) for number in range(images)], [image(str(n)) for n in range(images)]):
            valid, _ = split(keys, seed=seed)
            assert 0 < len(valid) < images


def test_rare_classes_do_not_make_the_list_to_score_on_much_larger():
    images = [image(str(number), number % 60) for number in range(120)]  # two images of each class
    valid, moved = split(images)
    by_hash = sum(hash_of(str(number), 0) < 0.2 for number in range(120))
    assert sum(moved.values()) == 7 and len(valid) <= by_hash + 7  # 1 + a quarter of a fifth of 120


@pytest.mark.parametrize("seed", range(8))
def test_a_single_image_is_to_train_on(seed):
    assert split([image("x", 0)], seed=seed) == (set(), {})


def test_copies_of_one_image_stay_together():
    copies = [image(f"{number}_jpg.rf.{letter * 32}", 0) for number in range(40) for letter in "ab"]
    valid, _ = split(copies)
    assert {key.partition(".")[0] for key in valid if key.endswith("a")} == {
        key.partition(".")[0] for key in valid if key.endswith("b")
    }
    assert 0 < len(valid) < 80


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("x.jpg", "x"), ("images/x.jpg", "x"), ("JPEGImages/x.PNG", "x"), ("train/images/x.jpg", "train/x"),
        ("images/a/x.y.jpg", "a/x.y"), ("caf\udce9.jpg", "caf\udce9"),
    ],
)  # fmt: skip
def test_a_key_is_the_same_in_every_layout(path, key):
    assert key_of(path) == key
    assert 0 <= hash_of(key, 0) < 1


def test_the_list_that_a_data_set_has_itself():
    keys = ("train/x", "valid/x", "Val/a/x", "test/x", "other/x", "valid", "x")
    assert [own_list_of(key) for key in keys] == ["train", "valid", "valid", "test", "train", "train", "train"]
