"""The routes of the service: what they answer and what they refuse."""

import cv2
import numpy as np
import pytest

from tests.helpers.served import served
from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.detect.detector import Detector
from yolo.serve.app import make_app
from yolo.serve.models import ServedModel


@pytest.fixture(scope="module")
def detector():
    return Detector(network_of(cfg_text(), seed=1), NAMES, score_thresh=0.1)


@pytest.fixture(scope="module")
def client(detector):
    with served(make_app([ServedModel("tiny", detector, "torch", "float32")])) as client:
        yield client


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def file_of(image, ending=".png"):
    return cv2.imencode(ending, image[..., ::-1])[1].tobytes()


def test_the_answer_is_what_the_detector_finds(client, detector, image):
    answer = client.post("/detect", content=file_of(image)).json()
    expected = detector(image)
    (result,) = answer["results"]
    assert (answer["model"], result["name"], result["width"], result["height"]) == ("tiny", None, 80, 60)
    assert len(expected) == len(result["detections"]) > 0
    for row, box, score, label in zip(
        result["detections"], expected.boxes.tolist(), expected.scores.tolist(), expected.labels.tolist(), strict=True
    ):
        assert (row["class_id"], row["label"]) == (label, NAMES[label])
        assert row["score"] == pytest.approx(score, abs=1e-5) and row["box"] == pytest.approx(
            box, abs=1e-4
        )  # enough for NMS by the client
    assert set(answer["time_ms"]) == {"queue", "decode", "network", "postprocess"}


def test_the_drawn_image_is_the_image_with_its_boxes(client, detector, image):
    answer = client.post("/detect", content=file_of(image), headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(drawn, detector(image).draw(image, NAMES)) and not np.array_equal(drawn, image)
