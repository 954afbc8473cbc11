"""DeepStack's answers, word for word as its server gives them (server.go, middlewares.go, detection.py)."""

import json
import time

import pytest
import torch

from yolo.records import Detections
from yolo.serve.deepstack import (
    Times,
    confidence_of,
    error_answer,
    field_of,
    image_of,
    predictions_answer,
    update_answer,
)
from yolo.serve.detection import drawn_type, number_of
from yolo.serve.http.multipart import Part
from yolo.serve.http.refusal import RefusedError


def test_predictions_are_whole_pixels_inside_of_the_image():
    boxes = torch.tensor([[-3.0, 2.9, 50.2, 200.0], [float("nan"), 1, 2, float("inf")]])
    detections = Detections(boxes, torch.tensor([0.5, 0.25]), torch.tensor([1, 0]))
    answer = predictions_answer(detections, ["cat", "dog"], (100, 40), Times(0.1, 0.25))
    assert answer.startswith(
        b'{"success":true,"predictions":['
        b'{"confidence":0.5,"label":"dog","y_min":2,"x_min":0,"y_max":100,"x_max":40},'
        b'{"confidence":0.25,"label":"cat","y_min":1,"x_min":0,"y_max":100,"x_max":2}],"duration":0.25,'
    )


@pytest.mark.parametrize(("labels", "text"), [([1, 0, 1], "Found 2 dog, cat"), ([], "No objects found")])
def test_the_answer_has_codeproject_ais_fields_too(labels, text):
    detections = Detections(torch.zeros(len(labels), 4), torch.ones(len(labels)), torch.tensor(labels).long())
    answer = json.loads(predictions_answer(detections, ["cat", "dog"], (100, 40), Times(0.0104, 0.25)))
    assert (answer["message"], answer["count"], answer["code"]) == (text, len(labels), 200)
    assert (answer["inferenceMs"], answer["processMs"], answer["analysisRoundTripMs"]) == (10, 250, 250)


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.2.3rc4", {"major": 1, "minor": 2, "patch": 3}), ("0", {"major": 0})]
)
def test_there_is_never_an_update(version, numbers):
    answer = json.loads(update_answer(version))
    assert answer["success"] is True and answer["updateAvailable"] is False and answer["version"] == numbers


@pytest.mark.parametrize(("text", "expected"), [("", 0.4), ("0.7", 0.7), ("1", 1.0), ("1e-2", 0.01), ("-1", -1.0)])
def test_min_confidence_is_a_number_with_deepstacks_default(text, expected):
    assert confidence_of([Part("min_confidence", None, text.encode())]) == expected
    assert confidence_of([]) == 0.4


@pytest.mark.parametrize(
    ("text", "line"),
    [("abc", "Invalid value for min_confidence"), ("nan", "Invalid value for min_confidence"),
     ("1.01", "min_confidence cannot be greater than 1")],
)  # fmt: skip
def test_a_wrong_min_confidence_has_deepstacks_words(text, line):
    with pytest.raises(RefusedError) as refused:
        confidence_of([Part("min_confidence", None, text.encode())])
    assert (refused.value.status, refused.value.line) == (400, line)


def test_a_long_wrong_number_is_refused_at_once():
    """With a pattern that can divide digits in several ways, this would take a minute, and a megabyte days."""
    begun = time.process_time()
    digits = "1" * 100_000 + "x"
    with pytest.raises(RefusedError):
        confidence_of([Part("min_confidence", None, digits.encode())])
    with pytest.raises(RefusedError):
        number_of({"thresh": digits}, "thresh", 0.5, 0.0)
    assert drawn_type(f"image/png;q={digits}") is None
    assert time.process_time() - begun < 1


def test_the_image_is_the_file_of_the_field_image():
    image = Part("image", "a.jpg", b"1")
    assert image_of([Part("image", None, b"text"), Part("other", "b.jpg", b"2"), image]) is image
    with pytest.raises(RefusedError, match="No valid image file found"):
        image_of([Part("file", "a.jpg", b"1")])
    assert field_of([Part("api_key", None, b"secret")], "api_key") == "secret"


@pytest.mark.parametrize("status", [415, 422])
def test_what_is_no_image_has_deepstacks_words(status):
    body = b'{"success":false,"error":"invalid image file","duration":0}'
    assert error_answer(RefusedError(status, "long line")) == (400, body)


def test_other_errors_keep_their_status():
    large = b'{"success":false,"error":"found more than 20 MB","duration":0}'
    assert error_answer(RefusedError(413, "found more than 20 MB")) == (413, large)
    assert error_answer(RefusedError(503, "full")) == (503, b'{"success":false,"error":"full","duration":0}')
    wrong = b'{"success":false,"error":"Incorrect api key","duration":0}'
    assert error_answer(RefusedError(401, "no key")) == (401, wrong)
