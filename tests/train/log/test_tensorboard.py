"""yolo.train.log.tensorboard: what TensorBoard's own reader finds in the file."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from yolo.train.log import tensorboard
from yolo.train.log.tensorboard import THRESHOLDS, EventFile, pr_curve_points


def read(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def test_numbers_and_images_come_back(tmp_path):
    file = EventFile(tmp_path / "new" / "folder", first_step=1)
    file.add(3, tensorboard.scalars({"loss": 0.5, "nothing": None, "rate": 0.25}))
    file.add(4, tensorboard.image("seen", np.full((6, 8, 3), (10, 20, 30), np.uint8)))
    file.close()
    found = read(tmp_path / "new" / "folder")
    assert {name: (event.step, event.value) for name in found.Tags()["scalars"] for event in found.Scalars(name)} == {
        "loss": (3, 0.5),
        "rate": (3, 0.25),
    }
    (image,) = found.Images("seen")
    assert (image.step, image.width, image.height) == (4, 8, 6)


def test_a_resumed_run_replaces_the_later_steps(tmp_path):
    for first, values in ((1, (1.0, 2.0, 3.0)), (3, (30.0, 40.0))):
        file = EventFile(tmp_path, first)
        for step, value in enumerate(values, first):
            file.add(step, tensorboard.scalars({"loss": value}))
        file.close()
    assert len(list(tmp_path.iterdir())) == 2
    found = [(event.step, event.value) for event in read(tmp_path).Scalars("loss")]
    assert found == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


def slow_point(labels, scores, ground_truths, threshold):
    above = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
    detected = sum(above)
    precision = detected / len(above) if above else 1.0
    return (
        detected,
        len(above) - detected,
        0,
        ground_truths - detected,
        precision,
        detected / ground_truths,
    )


def test_curve_points_are_those_of_a_loop_over_thresholds():
    rng = np.random.default_rng(0)
    scores = np.concatenate((rng.random(40), [0.0, 0.5, 1.0, 1.0])).astype(np.float32)
    scores[:5] = np.linspace(0, 1, THRESHOLDS)[[0, 31, 63, 90, 125]]  # exactly at thresholds, nearly
    labels = rng.random(len(scores)) < 0.6
    points = pr_curve_points(labels, scores, ground_truths=50)
    for column, threshold in zip(points.T, np.linspace(0, 1, THRESHOLDS), strict=True):
        assert column == pytest.approx(slow_point(labels, scores, 50, threshold))


def test_a_curve_without_detections_has_only_false_negatives(tmp_path):
    nothing = np.zeros(0, bool), np.zeros(0)
    points = pr_curve_points(*nothing, ground_truths=4)
    # by hand: no TP, no FP, four FN
    assert np.array_equal(points[:, 0], [0, 0, 0, 4, 1, 0]) and (points == points[:, :1]).all()


def test_a_curve_is_what_the_curves_page_of_tensorboard_reads(tmp_path):
    file = EventFile(tmp_path, first_step=1)
    labels, scores = np.array([True, False, True]), np.array([0.9, 0.4, 0.2])
    file.add(7, tensorboard.pr_curve("pr/red", labels, scores, 4))
    file.close()
    found = read(tmp_path)
    (event,) = found.Tensors("pr/red")
    assert event.step == 7
    assert np.allclose(make_ndarray(event.tensor_proto), pr_curve_points(labels, scores, 4))
    assert found.SummaryMetadata("pr/red").plugin_data.plugin_name == "pr_curves"


def test_a_histogram_counts_finite_values_only(tmp_path):
    values = torch.tensor([[1.0, 2.0, torch.nan], [2.0, torch.inf, 4.0]], dtype=torch.bfloat16)
    file = EventFile(tmp_path, first_step=1)
    file.add(1, tensorboard.histogram("weights", values.requires_grad_()))
    file.close()
    (event,) = read(tmp_path).Histograms("weights")
    written = event.histogram_value
    assert (written.num, written.min, written.max, written.sum) == (4, 1.0, 4.0, 9.0)
    assert tensorboard.histogram("nothing", torch.full((3,), torch.nan)) is None
    assert tensorboard.histogram("nothing", torch.zeros(0)) is None
