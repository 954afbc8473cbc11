"""yolo.detect.overlapped: frames in order with their detections, for any number of frames in the network at once."""

from threading import Event

import cv2
import numpy as np
import pytest
import torch

from tests.engines.test_build import CFG
from tests.helpers.golden import network_of
from yolo.detect.detector import Detector
from yolo.detect.overlapped import detect_items, flights_for
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.views import ViewPlan
from yolo.engines.cache import CACHE_VARIABLE


@pytest.mark.parametrize(
    ("engine", "batch"),
    [("torch", 1), ("torch", 3), ("openvino", 1), ("opencv", 1)]
    + [pytest.param(engine, 3, marks=pytest.mark.slow) for engine in ("auto", "onnxruntime", "openvino", "opencv")],
)
def test_every_frame_gets_its_own_detections_in_order(engine, batch, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr("yolo.engines.choose.MEASURED_SECONDS", 0)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(10)]
    frames = [SourceFrame(image, "a.mp4", number, number / 25) for number, image in enumerate(images)]
    items = [*frames[:4], Fault("broken"), *frames[4:]]
    network = network_of(CFG)
    expected = [Detector(network, ["cat", "dog"], 0.2)(image) for image in images]
    detector, threads = Detector(network, ["cat", "dog"], 0.2, engine=engine), torch.get_num_threads()
    found = list(detect_items(detector, items, ViewPlan(), batch, Event(), flights=2))
    assert isinstance(found.pop(4), Fault)
    assert [each.frame.index for each in found] == list(range(10))
    for result, alone in zip(found, expected, strict=True):
        assert len(alone) > 5
        torch.testing.assert_close(result.detections.scores, alone.scores, rtol=0, atol=1e-5)
    assert torch.get_num_threads() == threads


def test_several_at_a_time_only_where_many_frames_wait(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    detector = Detector(network_of(CFG), ["cat", "dog"])
    assert flights_for(detector, 1000, live=False) == flights_for(detector, None, live=False) == 4
    assert flights_for(detector, 3, live=False) == flights_for(detector, None, live=True) == 1


@pytest.mark.parametrize(("engine", "inside"), [("torch", 1), ("opencv", 3)])
@pytest.mark.parametrize("flights", [1, 2])
def test_opencv_has_no_threads_of_its_own_beside_those_of_the_frames(engine, inside, flights, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    before, threads = cv2.getNumThreads(), torch.get_num_threads()
    frames = [SourceFrame(np.zeros((40, 60, 3), np.uint8), "a.mp4", number, 0.0) for number in range(3)]
    detector = Detector(network_of(CFG), ["cat", "dog"], engine=engine)
    cv2.setNumThreads(5)
    torch.set_num_threads(3 * flights)  # the engine `opencv` computes with the threads of a flight
    try:
        found = detect_items(detector, frames, ViewPlan(), 1, Event(), flights)
        assert [cv2.getNumThreads() for _ in found] == [inside] * 3
        assert cv2.getNumThreads() == 5
    finally:
        cv2.setNumThreads(before)
        torch.set_num_threads(threads)
