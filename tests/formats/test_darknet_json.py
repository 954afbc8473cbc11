"""yolo.formats.darknet_json: Darknet's layout, by hand."""

import json

import torch

from tests.helpers.tiny_data import NAMES
from yolo.formats.darknet_json import darknet_frame, darknet_json
from yolo.records import Detections


def test_frames_are_numbered_and_boxes_are_center_and_size_of_the_image():
    found = Detections(
        torch.tensor([[10.0, 30.0, 50.0, 60.0], [0.0, 0.0, 200.0, 100.0]]),
        torch.tensor([0.75, 1 / 3]),
        torch.tensor([1, 0]),
    )
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    text = darknet_json([darknet_frame("a.jpg", (100, 200), found), darknet_frame("b.jpg", (5, 5), nothing)], NAMES)
    assert text.endswith("\n")
    assert json.loads(text) == [
        {
            "frame_id": 1,
            "filename": "a.jpg",
            "objects": [
                {
                    "class_id": 1,
                    "name": "green",
                    "relative_coordinates": {
                        "center_x": 0.15,
                        "center_y": 0.45,
                        "width": 0.2,
                        "height": 0.3,
                    },
                    "confidence": 0.75,
                },
                {
                    "class_id": 0,
                    "name": "red",
                    "relative_coordinates": {
                        "center_x": 0.5,
                        "center_y": 0.5,
                        "width": 1.0,
                        "height": 1.0,
                    },
                    "confidence": 0.333333,
                },
            ],
        },
        {"frame_id": 2, "filename": "b.jpg", "objects": []},
    ]


def test_no_images_are_an_empty_list():
    assert json.loads(darknet_json([], NAMES)) == []
