"""yolo.data.image_store: whole and halved images, what cannot be read, and room that is kept to."""

import cv2
import numpy as np
import pytest

from tests.helpers.tiny_data import draw, write_image
from yolo.data.image_store import ImageStore, read_half
from yolo.data.images import read_image
from yolo.errors import DatasetError


def smooth(size):
    """A random image without sharp edges, so that every good way to halve it gives nearly the same."""
    rng = np.random.default_rng(size)
    small = rng.integers(0, 256, (size[0] // 16 + 1, size[1] // 16 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)


def obviously_halved(image):
    """The mean of every two by two pixels, those at odd ends doubled."""
    rows, columns = (side % 2 for side in image.shape[:2])
    even = np.pad(image.astype(float), ((0, rows), (0, columns), (0, 0)), mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (97, 150), (120, 64)])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_half_an_image_is_the_mean_of_its_pixels(tmp_path, ending, size, channels):
    path = write_image(tmp_path / f"p{ending}", smooth(size))
    found = read_half(path, channels)
    assert found.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2, channels)
    assert found.dtype == np.uint8
    # JPEGs are halved by leaving out fine waves of each block: near the mean, but not it.
    off = np.abs(found - obviously_halved(read_image(path, channels)))
    assert off.mean() <= 2 and off.max() <= 16


def test_what_cannot_be_read_is_said_as_read_image_says_it(tmp_path):
    path = write_image(tmp_path / "p.jpg", smooth((40, 50)))
    whole = path.read_bytes()
    for spoilt in (b"", whole[:300], b"\xff\xd8 no picture \xff\xd9"):
        path.write_bytes(spoilt)
        with pytest.raises(DatasetError) as expected:
            read_image(path, 3)
        with pytest.raises(DatasetError) as found:
            read_half(path, 3)
        assert str(found.value) == str(expected.value)
    with pytest.raises(FileNotFoundError):
        read_half(tmp_path / "none.jpg", 3)


def test_a_jpeg_with_something_behind_it_is_read_too(tmp_path):
    path = write_image(tmp_path / "p.jpg", smooth((40, 50)))
    path.write_bytes(path.read_bytes() + b"a camera's own notes")
    assert read_half(path, 3).shape == (20, 25, 3)


def test_a_store_keeps_what_finds_room(tmp_path):
    paths = [write_image(tmp_path / f"{n}.png", draw([], (10, 10))) for n in range(3)]
    store = ImageStore(room=2 * 300)
    first = [store.read(path, 3, False) for path in paths]
    again = [store.read(path, 3, False) for path in paths]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, False]
    np.testing.assert_array_equal(first[2], again[2])
    empty = ImageStore(room=0)
    assert empty.read(paths[0], 3, False) is not empty.read(paths[0], 3, False)


def test_a_store_tells_whole_and_halved_images_apart(tmp_path):
    path = write_image(tmp_path / "p.png", draw([(0, 0, 10, 20, 1)], (20, 30)))
    store = ImageStore(room=10**6)
    for _ in range(2):
        np.testing.assert_array_equal(store.read(path, 3, False), read_image(path, 3))
        np.testing.assert_array_equal(store.read(path, 3, True), read_half(path, 3))
