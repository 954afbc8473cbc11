"""yolo.detect.detector: the detections in images are those that compiled Darknet printed."""

import cv2
import numpy as np
import pytest
import torch
import torchvision

from tests.helpers.golden import network_of, read_json
from yolo.detect.detector import Detector
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.names_file import read_names

MODELS = ("yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-voc")
IMAGES = ("dog", "eagle", "giraffe", "horses", "person", "scream")
SCORE_TOLERANCE, COORDINATE_TOLERANCE = 0.002, 0.001  # what the golden README asks for
THRESH = 0.25

CFG = """[net]
width=48
height=32
channels={channels}
[convolutional]
filters=14
size=1
activation=linear
[yolo]
classes=2
num=2
anchors=8,8, 16,16
"""


# ---------------------------------------------------------------------------------------------- recorded by Darknet


def recorded(shared):
    return read_json(shared / "darknet_golden/detections/detections.json")["models"]


def test_every_recorded_model_placement_and_image_is_tested(shared):
    found = recorded(shared)
    assert set(found) == set(MODELS)
    for placements in found.values():
        assert set(placements) == {"stretch", "letterbox"}
        assert all(set(images) == {f"{name}.png" for name in IMAGES} for images in placements.values())


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
@pytest.mark.parametrize("model", MODELS)
def test_detections_are_those_that_compiled_darknet_prints(shared, model, placement):
    folder = shared / "models" / model
    network = Network.from_cfg(folder / f"{model}.cfg")
    load_weights(network, folder / f"{model}.weights")
    names = read_names(next(folder.glob("*.names")))
    detector = Detector(network, names, THRESH - SCORE_TOLERANCE, letterbox=placement == "letterbox")
    expected = recorded(shared)[model][placement]
    for name in IMAGES:
        image = cv2.cvtColor(cv2.imread(str(shared / "images" / f"{name}.png")), cv2.COLOR_BGR2RGB)
        assert_rows_agree(rows_of(detector(image), image, names), expected[f"{name}.png"], name)


def rows_of(found, image, names):
    """Detections as Darknet's rows: label, name, score, cxcywh relative to the image."""
    height, width = image.shape[:2]
    boxes = torchvision.ops.box_convert(found.boxes, "xyxy", "cxcywh") / torch.tensor([width, height, width, height])
    return [
        (label, names[label], score, *box)
        for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), boxes.tolist(), strict=True)
    ]


def assert_rows_agree(ours, theirs, image):
    """Each recorded row has one of ours and each of ours a recorded one; near the threshold rows may come or go."""
    left = list(ours)
    for row in theirs:
        partner = next((mine for mine in left if agree(mine, row)), None)
        if partner is None:
            assert row[2] < THRESH + SCORE_TOLERANCE, f"{image}: Darknet's {row} is missing from {ours}"
        else:
            left.remove(partner)
    assert all(row[2] < THRESH + SCORE_TOLERANCE for row in left), f"{image}: not Darknet's: {left}"


def agree(mine, theirs):
    return (
        list(mine[:2]) == theirs[:2]
        and abs(mine[2] - theirs[2]) <= SCORE_TOLERANCE
        and max(abs(a - b) for a, b in zip(mine[3:], theirs[3:], strict=True)) <= COORDINATE_TOLERANCE
    )


# ---------------------------------------------------------------------------------------------------------- by hand


def detector_of(channels=3, biases=None, **options):
    """A detector whose raw map is the same everywhere: `biases` of the 14 channels."""
    network = network_of(CFG.format(channels=channels))
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
        network.layers[0].conv.bias.copy_(torch.tensor(biases or [-20.0] * 14))
    return Detector(network, ["cat", "dog"], **options)


def one_box_everywhere():
    """Both heads' anchors silent, but the first sure of a dog in every cell."""
    return [0.0, 0.0, 0.0, 0.0, 20.0, -20.0, 20.0] + [-20.0] * 7


def test_nothing_seen_is_detections_of_length_zero():
    found = detector_of()(np.zeros((60, 90, 3), np.uint8))
    assert len(found) == 0 and found.boxes.shape == (0, 4)


def test_boxes_come_in_image_pixels_best_first_on_the_cpu():
    found = detector_of(biases=one_box_everywhere(), nms_thresh=1.0)(np.zeros((64, 144, 3), np.uint8))
    assert len(found) == 32 * 48 and set(found.labels.tolist()) == {1}
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    # cell (0, 0): center (0.5, 0.5) of the input's 48x32 pixels, side 8; the image is 3 x as wide, 2 x as high
    expected = torch.tensor([1.5 - 12, 1 - 8, 1.5 + 12, 1 + 8])
    assert (found.boxes - expected).abs().amax(dim=1).min() < 1e-4


def test_letterbox_keeps_the_aspect_of_boxes():
    # 60x180 lies as 16x48 in the input: a box of 8x8 is 30x30 of the image's pixels
    detector = detector_of(biases=one_box_everywhere(), letterbox=True)
    found = detector(np.zeros((60, 180, 3), np.uint8))
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    torch.testing.assert_close(sides, torch.full_like(sides, 30.0))


def test_a_gray_image_is_ordinary_for_a_network_of_one_channel():
    detector = detector_of(channels=1, biases=one_box_everywhere())
    flat, deep = np.zeros((60, 90), np.uint8), np.zeros((60, 90, 1), np.uint8)
    assert torch.equal(detector(flat).boxes, detector(deep).boxes)


def test_a_batch_gives_each_image_what_it_gets_alone():
    network = network_of(CFG.format(channels=3))
    detector = Detector(network, ["cat", "dog"], score_thresh=0.1)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), np.uint8) for size in ((40, 60), (90, 30))]
    inputs, placements = zip(*(detector.prepare(image) for image in images), strict=True)
    together = detector.detect(torch.stack(inputs), placements)
    for image, found in zip(images, together, strict=True):
        alone = detector(image)
        # Sums run in another order in a batch, so nearly equal scores may change places.
        here, there = (torch.argsort(each.labels * 1e4 + each.boxes[:, 0]) for each in (alone, found))
        assert len(alone) > 0 and torch.equal(alone.labels[here], found.labels[there])
        torch.testing.assert_close(alone.boxes[here], found.boxes[there])


def test_the_detector_puts_its_network_into_evaluation_mode():
    network = network_of(CFG.format(channels=3)).train()
    Detector(network, ["cat", "dog"])
    assert not network.training


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 90, 3), np.float32),
        np.zeros((60, 90, 4), np.uint8),
        np.zeros((60, 90), np.uint8),
    ],
)
def test_another_kind_of_image_is_refused_by_name(image):
    with pytest.raises(ValueError, match=r"found an image .*, expected uint8 \[H, W, 3\]"):
        detector_of()(image)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match="found an empty image"):
        detector_of()(np.zeros((0, 90, 3), np.uint8))


def test_fewer_names_than_classes_are_refused():
    with pytest.raises(ValueError, match="found 1 name, expected 2, one for each class"):
        Detector(network_of(CFG.format(channels=3)), ["cat"])


def test_a_network_without_a_head_is_refused():
    with pytest.raises(ValueError, match="without a detection head"):
        Detector(network_of(CFG.format(channels=3).partition("[yolo]")[0]), [])
