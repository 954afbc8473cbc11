"""Equal and similar images: against all pairs, on drawn copies, plain images, and what is kept between two runs."""

import os
from itertools import combinations

import cv2
import numpy as np
import pytest

from yolo.explain.data_set import fingerprints
from yolo.explain.data_set.duplicates import (
    NEAR_BITS,
    correlation,
    duplicate_groups,
    fine_pixels,
    hash_pairs,
    near_pairs_of,
    pixel_correlation,
)
from yolo.explain.data_set.fingerprints import difference_hash, fingerprints_of, look_at


def bits_apart(one, other):
    return bin(int(one) ^ int(other)).count("1")


def blots(seed, size=(96, 128)):
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)


def groups_of(folder, images):
    paths = []
    for name, image, options in images:
        paths.append(str(folder / name))
        cv2.imwrite(paths[-1], image, options)
    return duplicate_groups(fingerprints_of(paths), paths)


def test_hash_pairs_are_those_of_all_pairs():
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**64, 120, np.uint64)
    for place in range(0, 60, 2):  # partners with 0 to 12 other bits, in one part of the hash or in all
        bits = rng.permutation(64 if place % 4 else 16)[: place % 13]
        hashes[place + 60] = hashes[place] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0)
        )
    found = {pair for one, other in hash_pairs(hashes) for pair in zip(one.tolist(), other.tolist(), strict=True)}
    expected = {(a, b) for a, b in combinations(range(120), 2) if bits_apart(hashes[a], hashes[b]) <= NEAR_BITS}
    assert found == expected and len(expected) > 15


def test_many_equal_hashes_are_cut_into_parts(monkeypatch):
    monkeypatch.setattr("yolo.explain.data_set.duplicates.PAIRS_AT_ONCE", 50)
    found = {
        pair
        for one, other in hash_pairs(np.full(40, 7, np.uint64))
        for pair in zip(one.tolist(), other.tolist(), strict=True)
    }
    assert found == set(combinations(range(40), 2))


def test_a_difference_hash_by_hand():
    rising = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(rising[:, ::-1]) == 0
    assert difference_hash(np.vstack((rising[:1], rising[1:, ::-1]))) == 0xFF << 56  # the first row only


def test_copies_are_found_and_others_are_not(tmp_path):
    images = [(f"{number}.png", blots(number), None) for number in range(8)]
    small = cv2.resize(blots(2), (64, 48), interpolation=cv2.INTER_AREA)
    bright = np.clip(blots(5) * 1.15 + 8, 0, 255).astype(np.uint8)
    images += [("8.png", blots(0), None), ("9.jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60]), ("a.png", bright, None)]
    groups = groups_of(tmp_path, images)
    assert [(group.members, group.exact) for group in groups] == [((0, 8), True), ((2, 9), False), ((5, 10), False)]


def test_plain_images_are_equal_only_if_their_bytes_are(tmp_path):
    # their hashes agree; noise of two gray levels is no image
    noise = [np.random.default_rng(seed).integers(0, 3, (64, 64, 3), np.uint8) + 120 for seed in range(4)]
    images = [(f"{number}.png", image, None) for number, image in enumerate([*noise, noise[1]])]
    assert [group.members for group in groups_of(tmp_path, images)] == [(1, 4)]


def test_the_frames_of_a_film_are_one_group_however_many_pairs_they_make(tmp_path, monkeypatch):
    frames = [np.clip(blots(1).astype(int) + number, 0, 255).astype(np.uint8) for number in range(30)]
    other = [np.clip(blots(2).astype(int) + number, 0, 255).astype(np.uint8) for number in range(5)]
    images = [(f"{number:02}.png", image, None) for number, image in enumerate([*frames, *other, blots(3)])]
    whole = groups_of(tmp_path, images)
    assert [len(group.members) for group in whole] == [30, 5]
    monkeypatch.setattr("yolo.explain.data_set.duplicates.MOST_PAIRS", 10)
    monkeypatch.setattr("yolo.explain.data_set.duplicates.PAIRS_AT_ONCE", 16)
    paths = [str(tmp_path / name) for name, _, _ in images]
    found = fingerprints_of(paths)
    assert duplicate_groups(found, paths) == whole
    assert len(near_pairs_of(found)) < 60  # of 435 + 10


def test_plain_images_are_not_even_compared(tmp_path):
    # the same faint light on thousands of microscope images would make millions of pairs
    paths = []
    for number, contrast in enumerate((12, 13, 60, 61)):  # gray levels from left to right
        image = (np.linspace(100, 100 + contrast, 128)[None, :, None] + np.zeros((96, 1, 3))).astype(np.uint8)
        paths.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(paths[-1], image)
    assert near_pairs_of(fingerprints_of(paths)).tolist() == [[2, 3]]


def test_the_same_light_is_not_the_same_image(tmp_path):
    # a strong common gradient, small different things on it: the coarse sketches agree
    light = np.linspace(40, 220, 160)[None, :, None].repeat(120, 0).repeat(3, 2)
    images = []
    for seed in range(3):
        image = light.astype(np.uint8).copy()
        for x, y in np.random.default_rng(seed).integers(5, 110, (14, 2)):
            cv2.circle(image, (int(x), int(y)), 4, (20, 20, 20), -1)
        images.append((f"{seed}.png", image, None))
    assert groups_of(tmp_path, images) == []
    assert pixel_correlation(*(fine_pixels(str(tmp_path / name)) for name in ("0.png", "1.png"))) < 0.5


def test_correlation_is_pearsons():
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 50)), rng.random((3, 50))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)]
    assert correlation(first, second) == pytest.approx(expected)
    assert correlation(np.ones((1, 5)), np.arange(5.0)[None]).tolist() == [0]


def test_broken_images_are_in_no_group(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    paths = [str(tmp_path / name) for name in ("empty.jpg", "text.jpg", "missing.jpg")] * 2
    found = fingerprints_of(paths)
    assert not found.readable.any() and duplicate_groups(found, paths) == []
    assert look_at(str(tmp_path)) is None


def test_files_that_did_not_change_are_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "LEAST_ENTRIES", 3)
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, blots(number))
    listed = tmp_path / "list.txt"
    first = fingerprints_of(paths, listed)
    read = []
    monkeypatch.setattr(fingerprints, "look_at", lambda path: read.append(path) or look_at(path))
    again = fingerprints_of(paths, listed)
    assert read == [] and np.array_equal(again.hashes, first.hashes)
    assert np.array_equal(fingerprints_of(paths, listed, recheck=True).hashes, first.hashes)
    assert sorted(read) == paths
    read.clear()
    cv2.imwrite(paths[2], blots(9))
    os.utime(paths[2], (1, 1))
    changed = fingerprints_of(paths[::-1], listed)
    assert read == [paths[2]]
    assert changed.hashes.tolist() == [first.hashes[3], look_at(paths[2])[1], first.hashes[1], first.hashes[0]]
    kept = listed.with_name("list.txt.looks")
    kept.write_bytes(kept.read_bytes()[:-40])  # damaged: all are read
    assert np.array_equal(fingerprints_of(paths, listed).hashes, changed.hashes[::-1]) and len(read) == 5
