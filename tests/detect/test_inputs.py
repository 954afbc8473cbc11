"""The inputs and results of `detector(...)`, and the methods of Detections."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.detect.test_detector import CFG, detector_of, one_box_everywhere
from tests.helpers.box_rows import detections_in_image
from tests.helpers.golden import network_of
from tests.helpers.tiny_data import write_image
from tests.helpers.tiny_videos import moving_square, write_video
from yolo.detect.detector import Detector
from yolo.detect.draw import draw_detections
from yolo.detect.sources.video import video_frames
from yolo.errors import DatasetError
from yolo.records import Detections

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture
def detector():
    """A network of random weights, which sees differences of colors and places."""
    return Detector(network_of(CFG.format(channels=3)), ["cat", "dog"], score_thresh=0.1)


def assert_same(found, expected):
    assert isinstance(found, Detections) and len(expected) > 0
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    "kind", ["path", "string", "bytes", "file", "in memory", "tensor", "pillow", "bgr", "BGR", "gray pillow"]
)
def test_an_image_is_detected_in_every_accepted_form(detector, tmp_path, kind):
    path = write_image(tmp_path / "a.png", IMAGE)
    expected = detector(IMAGE)
    if kind == "gray pillow":
        gray = Image.fromarray(IMAGE).convert("L")
        expected = detector(np.array(gray.convert("RGB")))
    given = {
        "path": lambda: detector(path),
        "string": lambda: detector(str(path)),
        "bytes": lambda: detector(path.read_bytes()),
        "file": lambda: detector(open_here),
        "in memory": lambda: detector(io.BytesIO(path.read_bytes())),
        "tensor": lambda: detector(torch.from_numpy(IMAGE)),
        "pillow": lambda: detector(Image.open(path)),
        "bgr": lambda: detector(cv2.imread(str(path)), color="bgr"),
        "BGR": lambda: detector(cv2.imread(str(path)), color="BGR"),
        "gray pillow": lambda: detector(gray),
    }
    with path.open("rb") as open_here:
        assert_same(given[kind](), expected)


def test_the_order_of_colors_matters(detector):
    assert not torch.equal(detector(IMAGE).scores, detector(IMAGE, color="bgr").scores)


def test_a_list_gives_a_list_in_its_order(detector, tmp_path):
    images = [np.roll(IMAGE, 7 * n, axis=1) for n in range(10)]
    mixed = [*images[:9], write_image(tmp_path / "a.png", images[9])]
    found = detector(mixed)
    assert isinstance(found, list) and detector([]) == []
    for each, image in zip(found, images, strict=True):
        alone = detector(image)
        assert len(each) == len(alone)
        torch.testing.assert_close(each.scores, alone.scores)


def test_an_array_of_images_is_a_list_of_them(detector):
    images = np.stack([IMAGE, IMAGE[::-1]])
    for given in (images, torch.from_numpy(images)):
        for each, image in zip(detector(given), images, strict=True):
            torch.testing.assert_close(each.scores, detector(image).scores)


def test_an_iterator_is_read_only_as_far_as_its_results(detector):
    read = []
    results = detector(read.append(n) or np.roll(IMAGE, n, axis=1) for n in range(5))
    next(results)
    assert read == [0]
    assert len(list(results)) == 4


def test_frames_of_a_video_are_images(detector, tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_square(3))
    found = list(detector(video_frames(str(path), 3)))
    expected = [detector(frame.image) for frame in video_frames(str(path), 3)]
    for each, alone in zip(found, expected, strict=True):
        assert_same(each, alone)


def test_a_network_of_one_channel_reads_files_as_gray(tmp_path):
    path = write_image(tmp_path / "a.png", IMAGE)
    detector = detector_of(channels=1, biases=one_box_everywhere())
    assert len(detector(path)) == len(detector(Image.open(path))) > 0


def test_what_is_no_image_is_an_error_that_names_it(detector, tmp_path):
    with pytest.raises(FileNotFoundError):
        detector("away.jpg")
    with pytest.raises(DatasetError, match="bytes: found text, expected an image"):
        detector(b"no image")
    with pytest.raises(TypeError, match="found builtins.int, expected an array, a path, bytes"):
        detector(7)
    with pytest.raises(TypeError, match="found cv2.VideoCapture, expected an array"):
        detector(cv2.VideoCapture())
    with pytest.raises(ValueError, match="found color 'hsv', expected one of rgb, bgr"):
        detector(IMAGE, color="hsv")


# ------------------------------------------------------------------------------------------------------- Detections


THREE = detections_in_image((8, 10, 24.5, 30, 0.75, 0), (-4, 4, 100, 20, 0.5, 1), (70, 0, 80, 9, 0.25, 1))


@pytest.mark.parametrize(
    "index, rows",
    [
        (0, [0]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        (np.int64(1), [1]),
        (torch.tensor(-1), [2]),
        ([2, 0], [2, 0]),
        (torch.tensor([True, False, True]), [0, 2]),
        (torch.tensor([], dtype=torch.int64), []),
    ],
)
def test_indexing_gives_detections(index, rows):
    found = THREE[index]
    assert isinstance(found, Detections) and found.scores.tolist() == [THREE.scores[r] for r in rows]
    assert found.boxes.tolist() == [THREE.boxes[r].tolist() for r in rows]
    assert found.labels.tolist() == [THREE.labels[r] for r in rows]


def test_detections_are_counted_and_looped_over():
    assert len(THREE) == 3 and [each.scores.item() for each in THREE] == [0.75, 0.5, 0.25]
    with pytest.raises(IndexError, match="found detection 3, expected one of 3"):
        THREE[3]


@pytest.mark.parametrize("index", [1.5, "1", None, torch.tensor(0.5)])
def test_an_index_that_is_no_whole_number_is_refused(index):
    with pytest.raises(TypeError):
        THREE[index]


def test_detections_print_in_one_line():
    assert repr(THREE) == ("Detections(3: 0 0.75 [8 10 24 30], 1 0.50 [-4 4 100 20], 1 0.25 [70 0 80 9])")
    assert repr(detections_in_image()) == "Detections(0)"
    assert repr(detections_in_image(*[(0, 0, 1, 1, 0.5, 0)] * 6)).endswith("0 0.50 [0 0 1 1], ...)")


def test_detections_as_plain_numbers():
    assert THREE.to_dict(["cat", "dog"])[:1] == [
        {"class_id": 0, "name": "cat", "score": 0.75, "box": [8.0, 10.0, 24.5, 30.0]}
    ]


def test_crops_are_the_pixels_of_each_box():
    crops = THREE.crop(IMAGE)  # 60 pixels wide: the third box lies outside
    assert [crop.shape for crop in crops] == [(20, 17, 3), (16, 60, 3), (9, 0, 3)]
    assert (crops[0] == IMAGE[10:30, 8:25]).all() and not np.shares_memory(crops[0], IMAGE)


def test_drawing_is_that_of_the_command():
    parts = (part.numpy() for part in (THREE.boxes, THREE.scores, THREE.labels))
    expected = draw_detections(IMAGE, *parts, ["cat", "dog"])
    assert (THREE.draw(IMAGE, ["cat", "dog"]) == expected).all()


def test_the_names_of_the_detector_are_printed_drawn_and_returned(detector, tmp_path):
    found = detector(IMAGE)
    label = ["cat", "dog"][found.labels[0]]
    assert repr(found).startswith(f"Detections({len(found)}: {label} 0.") and found[:1].names == ("cat", "dog")
    assert (found.draw(IMAGE) == found.draw(IMAGE, ["cat", "dog"])).all()
    assert (found.draw(write_image(tmp_path / "a.png", IMAGE)) == found.draw(IMAGE)).all()
    bgr = np.ascontiguousarray(IMAGE[..., ::-1])
    assert (found.draw(bgr, color="bgr") == found.draw(IMAGE)[..., ::-1]).all()
    assert found.to_dict() == found.to_dict(["cat", "dog"])
    assert found.to_supervision().data["class_name"].tolist() == [each["name"] for each in found.to_dict()]
    assert (THREE.draw(IMAGE) == THREE.draw(IMAGE, ["0", "1"])).all()  # without names: the labels


def test_a_phones_photo_is_turned_in_every_form(detector, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by a quarter
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg", exif=exif, quality=100)
    found = detector(tmp_path / "a.jpg")
    opened = Image.open(tmp_path / "a.jpg")
    assert_same(detector((tmp_path / "a.jpg").read_bytes()), found)
    assert found.draw(opened).shape == (IMAGE.shape[1], IMAGE.shape[0], 3)
    assert torch.allclose(detector(opened).boxes, found.boxes, atol=0.5)  # Pillow decodes JPEG slightly otherwise


def test_detections_go_to_supervision():
    found = THREE.to_supervision()
    assert found.xyxy.tolist() == THREE.boxes.tolist() and len(found) == 3
    assert found.confidence.tolist() == [0.75, 0.5, 0.25] and found.class_id.tolist() == [0, 1, 1]
