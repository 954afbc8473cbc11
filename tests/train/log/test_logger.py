"""yolo.train.log.logger: the same numbers in TensorBoard, tables, chart and lines, also in a run that goes on."""

import csv
import math
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.full_disk import full_beyond
from yolo.train.log.console import ProgressLine, StepLines
from yolo.train.log.logger import Logger, gpu_memory, mean_scalars, printer_of


@dataclass(frozen=True)
class Losses:
    """As a loss tells them: tensors and floats mixed. `told`: what Darknet's lines would be."""

    value: float
    others: tuple[tuple[str, float], ...] = (("train/iou", 0.5),)

    @property
    def total(self):
        return torch.tensor(self.value)

    def scalars(self):
        return {"loss/total": self.total, "share": self.value / 100, **dict(self.others)}


@dataclass(frozen=True)
class LossesWithLines(Losses):
    def lines(self):
        return [f"head: {self.value}"]


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars_of(folder):
    """name → [(step, value)] of TensorBoard's files."""
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def stepped(folder, steps, last_step=10, **how):
    """A journal that has noted those steps; the loss of a step is its number, the average of two mini-batches."""
    journal = Logger(folder, steps[0], last_step, **how)
    for step in steps:
        journal.step(step, [Losses(step - 1.0), Losses(step + 1.0)], 0.01 * step, 4)
    return journal


def test_every_number_has_a_curve_and_a_column(tmp_path):
    journal = stepped(tmp_path, [1, 2])
    journal.scores(2, "map/voc07", 0.75, {"ap/red": 0.5, "ap/green": None})
    journal.close()
    curves, rows = scalars_of(tmp_path), table(tmp_path / "scalars.csv")
    # by hand: the mean over the mini-batches of a step; Darknet's average, .9 * 1 + .1 * 2
    assert curves["loss/total"] == [(1, 1.0), (2, 2.0)]
    assert curves["loss/average"] == [(1, 1.0), (2, pytest.approx(1.1))]
    assert curves["share"] == [(1, pytest.approx(0.01)), (2, pytest.approx(0.02))]
    assert curves["train/iou"] == [(1, 0.5), (2, 0.5)]
    assert curves["train/learning_rate"] == [(1, pytest.approx(0.01)), (2, pytest.approx(0.02))]
    assert curves["map/voc07"] == [(2, 0.75)] and curves["ap/red"] == [(2, 0.5)]
    assert "ap/green" not in curves and "train/gpu_memory_gib" not in curves
    assert [row.pop("step") for row in rows] == ["1", "2"]
    assert set(rows[0]) == set(curves) - {"map/voc07", "ap/red"}
    for name in rows[0]:
        values = [(step, pytest.approx(float(row[name]))) for step, row in enumerate(rows, 1)]
        assert curves[name] == values
    assert table(tmp_path / "scores.csv") == [
        {"step": "2", "map/voc07": "0.75", "ap/red": "0.5", "ap/green": ""}
    ]


def test_curves_histograms_and_images_are_there(tmp_path):
    journal = Logger(tmp_path, 1, 10)
    right, scores = np.array([True, False]), np.array([0.9, 0.3])
    journal.curves(5, {"red": (right, scores, 3), "never there": (right[:0], scores[:0], 0)})
    journal.histograms(5, {"weights": torch.arange(4.0), "nothing": torch.full((2,), math.nan)})
    journal.images_seen(5, "valid/0", np.zeros((6, 8, 3), np.uint8))
    journal.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    tags = found.Tags()
    assert (tags["tensors"], tags["histograms"], tags["images"]) == (
        ["pr/red"], ["weights"], ["valid/0"],
    )  # fmt: skip
    assert not (tmp_path / "chart.png").exists()  # nothing to draw


def test_a_run_that_goes_on_is_as_one_that_never_stopped(tmp_path):
    """Killed after step 5, and its last checkpoint is of step 3."""
    for folder, parts in (
        (tmp_path / "a", [range(1, 8)]),
        (tmp_path / "b", [range(1, 6), range(4, 8)]),
    ):
        for steps in parts:
            journal = Logger(folder, steps[0], 7)
            for step in steps:
                journal.step(step, [Losses(10.0 / step)], 0.01, 4)
                if step % 2 == 0:
                    journal.scores(step, "map/voc07", step / 10, {"ap/red": None})
            journal.left = 0.0  # the clock is no part of it
            journal.close()
    assert scalars_of(tmp_path / "a").keys() == scalars_of(tmp_path / "b").keys()
    for name in ("loss/total", "loss/average", "map/voc07"):
        assert scalars_of(tmp_path / "a")[name] == scalars_of(tmp_path / "b")[name]
    rows = [
        [{**row, "train/pictures_per_second": ""} for row in table(tmp_path / run / "scalars.csv")]
        for run in "ab"
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 7
    for name in ("scores.csv", "chart.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("step", "there"), [(99, False), (100, True), (3, False), (150, True)])
def test_the_chart_comes_every_hundred_steps_and_after_the_last(tmp_path, step, there):
    journal = stepped(tmp_path, [step], last_step=150)
    assert (tmp_path / "chart.png").exists() == there
    journal.close()
    assert cv2.imread(str(tmp_path / "chart.png")) is not None


def test_a_score_is_on_the_chart_at_once(tmp_path):
    journal = stepped(tmp_path, [1])
    journal.scores(1, "map/voc07", None, {})
    before = (tmp_path / "chart.png").read_bytes()
    journal.scores(1, "map/voc07", 0.5, {})
    assert (tmp_path / "chart.png").read_bytes() != before
    journal.close()


def test_a_full_disk_costs_a_warning_each_and_not_the_run(tmp_path, capsys):
    journal = stepped(tmp_path, [1])
    rows = len(table(tmp_path / "scalars.csv"))
    with full_beyond((tmp_path / "scalars.csv").stat().st_size):
        for step in (2, 3):
            journal.step(step, [Losses(1.0)], 0.01, 4)
            journal.scores(step, "map/voc07", 0.5, {})
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3  # scalars.csv, TensorBoard's file and the chart; scores.csv is small
    assert all(line.startswith("warning: [Errno") for line in warnings)
    journal.step(4, [Losses(1.0)], 0.01, 4)  # there is room again
    journal.close()
    assert [row["step"] for row in table(tmp_path / "scalars.csv")][rows:] == ["4"]
    assert [step for step, _ in scalars_of(tmp_path)["loss/total"]] == [1, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chart.png", "scalars.csv", "scores.csv", "tensorboard",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("others", "text"),
    [((("train/iou", 0.5),), "IoU 0.500  rate"), ((("train/top1", 0.25),), "top-1 0.250  rate"),
     ((), "(avg 1.000)  rate")],
)  # fmt: skip
def test_the_line_shows_what_the_losses_have(tmp_path, capsys, others, text):
    journal = Logger(tmp_path, 1, 1)
    journal.step(1, [Losses(1.0, others)], 0.02, 4)
    journal.close()
    line = capsys.readouterr().err
    assert line.startswith("1/1  loss 1.000 (avg 1.000)  ") and text in line


def test_time_left_counts_from_the_first_step_of_this_run(tmp_path, monkeypatch, capsys):
    now = iter([0.0, 10.0, 11.0])
    monkeypatch.setattr("yolo.train.log.logger.time.monotonic", lambda: next(now))
    told = []
    journal = Logger(tmp_path, 101, 162, printer=StepLines(lambda step: told.append(step) or ""))
    for step in (101, 102):
        journal.step(step, [Losses(1.0)], 0.01, 4)
    # by hand: 4 images in the second between the two steps; 60 steps of 4 images are left
    assert [(each.seconds, each.speed) for each in told] == [(10.0, 0.0), (1.0, 4.0)]
    assert math.isnan(told[0].left) and told[1].left == 60.0
    journal.close()


def test_the_time_of_an_evaluation_is_not_the_trainings(tmp_path, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 50.0, 51.0, 52.0])  # the scores are noted at 50
    monkeypatch.setattr("yolo.train.log.logger.time.monotonic", lambda: next(now))
    told = []
    journal = Logger(tmp_path, 1, 10, printer=StepLines(lambda step: told.append(step) or ""))
    for step in range(1, 5):
        journal.step(step, [Losses(1.0)], 0.01, 4)
        if step == 2:
            journal.scores(2, "map/voc07", 0.5, {})
    assert [(each.seconds, each.speed) for each in told] == [(1, 0), (1, 4), (1, 4), (1, 4)]
    journal.close()


def test_darknets_lines_show_darknets_loss(tmp_path, capsys):
    journal = Logger(tmp_path, 1, 10, printer=printer_of("darknet", "pjreddie"))
    for value in (4.0, 8.0):
        losses = [LossesWithLines(value, (("loss/darknet", 10 * value),))] * 2
        journal.step(round(value / 4), losses, 0.001, 64)
    journal.close()
    out, err = capsys.readouterr()
    first, second = out.splitlines()[:3], out.splitlines()[3:]
    assert first[:2] == ["head: 4.0"] * 2 and err == ""
    # by hand: .9 * 40 + .1 * 80
    assert first[2].startswith("1: 40.000000, 40.000000 avg, 0.001000 rate, ")
    assert second[2].startswith("2: 80.000000, 44.000000 avg, ") and second[2].endswith(
        " 128 images"
    )


def test_the_next_run_goes_on_with_darknets_average(tmp_path):
    for first in (1, 2):
        journal = Logger(tmp_path, first, 10, printer=printer_of("darknet", "alexeyab"))
        journal.step(first, [Losses(1.0, (("loss/darknet", 40.0 * first),))], 0.001, 64)
        assert list(journal.losses) == [40.0, 80.0][:first]
        journal.close()
    assert journal.averages[-1] == pytest.approx(44.0)


def test_an_average_is_of_one_kind_of_loss(tmp_path):
    """A run that begins to show Darknet's loss, and goes back: by hand, .9 * 40 + .1 * 80 and .9 * 3 + .1 * 2."""
    kinds = ((), ("loss/darknet", 40.0), ("loss/darknet", 80.0), (), ())
    values, averages = (5.0, 1.0, 1.0, 3.0, 2.0), []
    for step, (kind, value) in enumerate(zip(kinds, values, strict=True), 1):
        journal = Logger(tmp_path, step, 10)
        journal.step(step, [Losses(value, (kind,) if kind else ())], 0.001, 64)
        journal.close()
        averages.append(journal.averages[-1])
    assert averages == pytest.approx([5.0, 40.0, 44.0, 3.0, 2.9])


def test_an_average_that_is_no_number_begins_anew(tmp_path):
    """As detector.c: if(avg_loss < 0 || avg_loss != avg_loss) avg_loss = loss."""
    journal = Logger(tmp_path, 1, 10)
    for step, value in enumerate((math.nan, 4.0, math.inf, 8.0), 1):
        journal.step(step, [Losses(value)], 0.01, 4)
    journal.close()
    assert journal.averages[1] == 4.0 and journal.averages[3] == 8.0


def test_numbers_are_averaged_whether_tensors_or_not():
    each = [Losses(1.0, (("count", 3),)), Losses(2.0, (("count", 4),))]
    assert mean_scalars(each) == {"loss/total": 1.5, "share": pytest.approx(0.015), "count": 3.5}


def test_a_step_waits_for_its_device_once(monkeypatch):
    """Whatever brings a tensor's values to Python is counted."""
    count = []
    for name in ("tolist", "item", "__float__"):
        before = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, before=before: count.append(1) or before(self)
        )
    others = tuple((f"n{number}", torch.tensor(float(number))) for number in range(5))
    mean_scalars([Losses(1.0, others)] * 3)
    assert len(count) == 1


def test_printers_by_name():
    assert isinstance(printer_of("progress", "alexeyab"), ProgressLine)
    assert isinstance(printer_of("darknet", "alexeyab"), StepLines)
    with pytest.raises(KeyError):
        printer_of("loud", "alexeyab")


def test_a_cpu_has_no_gpu_memory_to_tell():
    assert gpu_memory(torch.device("cpu")) == {}


@pytest.mark.gpu
def test_a_gpu_tells_the_most_memory_it_gave(tmp_path):
    held = torch.zeros(2**28, device="cuda")  # 1 GiB of float32
    assert gpu_memory(held.device)["train/gpu_memory_gib"] >= 1.0
