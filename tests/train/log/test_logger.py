"""yolo.train.log.logger: the same numbers in TensorBoard, tables, chart and lines, also in a resumed run."""

import csv
import inspect
import math
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.full_disk import full_beyond
from tests.helpers.golden import network_of, targets_of
from yolo.train.log import logger as logger_module
from yolo.train.log.console import ProgressLine, StepLines
from yolo.train.log.darknet import DarknetLoss, DarknetLosses
from yolo.train.log.logger import CsvTable, Logger, NullLogger, gpu_memory, mean_scalars, printer_of, rows_to_keep
from yolo.train.losses.detection import DetectionLoss


@dataclass(frozen=True)
class Losses:
    """A loss result: tensors and floats mixed."""

    value: float
    others: tuple[tuple[str, float], ...] = (("train/iou", 0.5),)

    @property
    def total(self):
        return torch.tensor(self.value)

    def scalars(self):
        return {"loss/total": self.total, "part": self.value / 100, **dict(self.others)}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars_of(folder):
    """name → [(step, value)] of TensorBoard's files."""
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}


def stepped(folder, steps, last_step=10, **how):
    """Return a logger of those steps; the loss of a step is its number, the mean of two mini-batches."""
    logger = Logger(folder, steps[0], last_step, **how)
    for step in steps:
        logger.step(step, [Losses(step - 1.0), Losses(step + 1.0)], 0.01 * step, 4)
    return logger


def test_every_number_has_a_curve_and_a_column(tmp_path):
    logger = stepped(tmp_path, [1, 2])
    logger.scores(2, "map/voc07", 0.75, {"ap/red": 0.5, "ap/green": None})
    logger.close()
    curves, rows = scalars_of(tmp_path), table(tmp_path / "scalars.csv")
    # by hand: the mean over the mini-batches of a step; Darknet's average, .9 * 1 + .1 * 2
    assert curves["loss/total"] == [(1, 1.0), (2, 2.0)]
    assert curves["loss/average"] == [(1, 1.0), (2, pytest.approx(1.1))]
    assert curves["part"] == [(1, pytest.approx(0.01)), (2, pytest.approx(0.02))]
    assert curves["train/iou"] == [(1, 0.5), (2, 0.5)]
    assert curves["train/learning_rate"] == [(1, pytest.approx(0.01)), (2, pytest.approx(0.02))]
    assert curves["map/voc07"] == [(2, 0.75)] and curves["ap/red"] == [(2, 0.5)]
    assert "ap/green" not in curves and "train/gpu_memory_gib" not in curves
    assert [row.pop("step") for row in rows] == ["1", "2"]
    assert set(rows[0]) == set(curves) - {"map/voc07", "ap/red"}
    for name in rows[0]:
        values = [(step, pytest.approx(float(row[name]))) for step, row in enumerate(rows, 1)]
        assert curves[name] == values
    assert table(tmp_path / "scores.csv") == [{"step": "2", "map/voc07": "0.75", "ap/red": "0.5", "ap/green": ""}]


def test_the_module_lists_the_columns_of_scalars_csv(tmp_path):
    cfg = "[net]\nwidth=8\nheight=8\nchannels=7\n[maxpool]\nsize=1\nstride=8\n"
    network = network_of(cfg + "[yolo]\nclasses=2\nnum=1\nanchors=4,4\n")
    losses = DarknetLoss(DetectionLoss(network), network, "alexeyab")(
        [torch.zeros(1, 7, 1, 1)], targets_of([(0, 1, 0.5, 0.5, 0.5, 0.5)])
    )
    logger = Logger(tmp_path, 1, 10)
    logger.step(1, [losses], 0.01, 1)
    logger.close()
    listed = re.findall(r"[\w/]+", logger_module.__doc__)
    assert logger.scalar_table.columns[0] == "step" and len(logger.scalar_table.columns) == 22
    assert set(logger.scalar_table.columns) <= set(listed)


def test_curves_histograms_and_images_are_written(tmp_path):
    logger = Logger(tmp_path, 1, 10)
    right, scores = np.array([True, False]), np.array([0.9, 0.3])
    logger.curves(5, {"red": (right, scores, 3), "never there": (right[:0], scores[:0], 0)})
    logger.histograms(5, {"weights": torch.arange(4.0), "nothing": torch.full((2,), math.nan)})
    logger.image(5, "valid/0", np.zeros((6, 8, 3), np.uint8))
    logger.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    tags = found.Tags()
    assert (tags["tensors"], tags["histograms"], tags["images"]) == (
        ["pr/red"], ["weights"], ["valid/0"],
    )  # fmt: skip
    assert not (tmp_path / "chart.png").exists()  # nothing to draw


def test_a_resumed_run_writes_the_same_files_as_one_that_never_stopped(tmp_path):
    """Killed after step 5, and its last checkpoint is of step 3."""
    for folder, parts in (
        (tmp_path / "a", [range(1, 8)]),
        (tmp_path / "b", [range(1, 6), range(4, 8)]),
    ):
        for steps in parts:
            logger = Logger(folder, steps[0], 7)
            for step in steps:
                logger.step(step, [Losses(10.0 / step)], 0.01, 4)
                if step % 2 == 0:
                    logger.scores(step, "map/voc07", step / 10, {"ap/red": None})
            logger.seconds_left = 0.0  # the time differs
            logger.close()
    assert scalars_of(tmp_path / "a").keys() == scalars_of(tmp_path / "b").keys()
    for name in ("loss/total", "loss/average", "map/voc07"):
        assert scalars_of(tmp_path / "a")[name] == scalars_of(tmp_path / "b")[name]
    rows = [[{**row, "train/pictures_per_second": ""} for row in table(tmp_path / run / "scalars.csv")] for run in "ab"]
    assert rows[0] == rows[1] and len(rows[0]) == 7
    for name in ("scores.csv", "chart.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("step", "there"), [(99, False), (100, True), (3, False), (150, False)])
def test_the_chart_is_written_every_hundred_steps_and_at_the_end(tmp_path, step, there):
    logger = stepped(tmp_path, [step], last_step=150)
    assert (tmp_path / "chart.png").exists() == there
    logger.close()
    assert cv2.imread(str(tmp_path / "chart.png")) is not None


def test_the_chart_is_written_at_most_every_30_seconds_while_training(tmp_path, monkeypatch):
    now, written = [1000.0], []
    monkeypatch.setattr("yolo.train.log.logger.time.monotonic", lambda: now[0])
    monkeypatch.setattr("yolo.train.log.logger.draw_chart", lambda curves: curves.steps[-1])
    monkeypatch.setattr("yolo.train.log.logger.write_figure", lambda path, figure: written.append(figure))
    logger = Logger(tmp_path, 1, 500)
    for step, now[0] in ((100, 1000.0), (200, 1029.0), (300, 1031.0), (399, 1099.0), (500, 1061.0)):
        logger.step(step, [Losses(1.0)], 0.01, 4)
    assert written == [100, 300]
    logger.close()
    assert written == [100, 300, 500]


def test_the_chart_is_written_after_every_evaluation(tmp_path):
    logger = stepped(tmp_path, [1])
    logger.scores(1, "map/voc07", None, {})
    before = (tmp_path / "chart.png").read_bytes()
    logger.scores(1, "map/voc07", 0.5, {})
    assert (tmp_path / "chart.png").read_bytes() != before
    (tmp_path / "chart.png").unlink()
    logger.close()
    assert not (tmp_path / "chart.png").exists()  # it was up to date


def test_a_full_disk_is_one_warning_for_each_file_and_does_not_end_the_run(tmp_path, capsys):
    logger = stepped(tmp_path, [1])
    rows = len(table(tmp_path / "scalars.csv"))
    with full_beyond((tmp_path / "scalars.csv").stat().st_size):
        for step in (2, 3):
            logger.step(step, [Losses(1.0)], 0.01, 4)
            logger.scores(step, "map/voc07", 0.5, {})
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3  # scalars.csv, TensorBoard's file and the chart; scores.csv is small
    assert all(line.startswith("warning: [Errno") for line in warnings)
    logger.step(4, [Losses(1.0)], 0.01, 4)  # there is room again
    logger.close()
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
def test_the_line_shows_the_metrics_that_the_losses_have(tmp_path, capsys, others, text):
    logger = Logger(tmp_path, 1, 1)
    logger.step(1, [Losses(1.0, others)], 0.02, 4)
    logger.close()
    line = capsys.readouterr().err
    assert line.startswith("1/1  loss 1.000 (avg 1.000)  ") and text in line


def test_time_left_counts_from_the_first_step_of_this_run(tmp_path, monkeypatch, capsys):
    now = iter([0.0, 10.0, 11.0, 11.0])
    monkeypatch.setattr("yolo.train.log.logger.time.monotonic", lambda: next(now))
    reports = []
    logger = Logger(tmp_path, 101, 162, printer=StepLines(lambda each: reports.append(each) or ""))
    for step in (101, 102):
        logger.step(step, [Losses(1.0)], 0.01, 4)
    # by hand: 4 images in the second between the two steps; 60 steps of 4 images are left
    assert [(each.seconds, each.images_per_second) for each in reports] == [(10.0, 0.0), (1.0, 4.0)]
    assert math.isnan(reports[0].seconds_left) and reports[1].seconds_left == 60.0
    logger.close()


def test_the_time_of_an_evaluation_does_not_count_as_training(tmp_path, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 50.0, 50.0, 51.0, 52.0, 52.0])  # the scores are logged at 50
    monkeypatch.setattr("yolo.train.log.logger.time.monotonic", lambda: next(now))
    reports = []
    logger = Logger(tmp_path, 1, 10, printer=StepLines(lambda each: reports.append(each) or ""))
    for step in range(1, 5):
        logger.step(step, [Losses(1.0)], 0.01, 4)
        if step == 2:
            logger.scores(2, "map/voc07", 0.5, {})
    assert [(each.seconds, each.images_per_second) for each in reports] == [
        (1, 0),
        (1, 4),
        (1, 4),
        (1, 4),
    ]
    logger.close()


def test_darknets_lines_show_darknets_loss(tmp_path, capsys):
    logger = Logger(tmp_path, 1, 10, printer=printer_of("darknet", "pjreddie"))
    for value in (4.0, 8.0):
        losses = [DarknetLosses(Losses(value), torch.tensor(10 * value), ["a head"], "{}: its line".format)] * 2
        logger.step(round(value / 4), losses, 0.001, 64)
    logger.close()
    out, err = capsys.readouterr()
    first, second = out.splitlines()[:3], out.splitlines()[3:]
    assert first[:2] == ["a head: its line"] * 2 and err == ""
    # by hand: .9 * 40 + .1 * 80
    assert first[2].startswith("1: 40.000000, 40.000000 avg, 0.001000 rate, ")
    assert second[2].startswith("2: 80.000000, 44.000000 avg, ") and second[2].endswith(" 128 images")


def test_a_resumed_run_continues_darknets_average(tmp_path):
    for first in (1, 2):
        logger = Logger(tmp_path, first, 10, printer=printer_of("darknet", "alexeyab"))
        logger.step(first, [Losses(1.0, (("loss/darknet", 40.0 * first),))], 0.001, 64)
        assert list(logger.losses) == [40.0, 80.0][:first]
        logger.close()
    assert logger.averages[-1] == pytest.approx(44.0)


def test_an_average_is_of_one_kind_of_loss(tmp_path):
    """A run that begins to show Darknet's loss, and goes back: by hand, .9 * 40 + .1 * 80 and .9 * 3 + .1 * 2."""
    kinds = ((), ("loss/darknet", 40.0), ("loss/darknet", 80.0), (), ())
    values, averages = (5.0, 1.0, 1.0, 3.0, 2.0), []
    for step, (kind, value) in enumerate(zip(kinds, values, strict=True), 1):
        logger = Logger(tmp_path, step, 10)
        logger.step(step, [Losses(value, (kind,) if kind else ())], 0.001, 64)
        logger.close()
        averages.append(logger.averages[-1])
    assert averages == pytest.approx([5.0, 40.0, 44.0, 3.0, 2.9])


def test_an_average_that_is_not_finite_starts_again(tmp_path):
    """As detector.c: if(avg_loss < 0 || avg_loss != avg_loss) avg_loss = loss."""
    logger = Logger(tmp_path, 1, 10)
    for step, value in enumerate((math.nan, 4.0, math.inf, 8.0), 1):
        logger.step(step, [Losses(value)], 0.01, 4)
    logger.close()
    assert logger.averages[1] == 4.0 and logger.averages[3] == 8.0


def test_tensors_and_floats_are_averaged():
    each = [Losses(1.0, (("count", 3),)), Losses(2.0, (("count", 4),))]
    assert mean_scalars(each) == {"loss/total": 1.5, "part": pytest.approx(0.015), "count": 3.5}


def test_the_scalars_of_a_step_are_one_transfer_from_the_device(monkeypatch):
    """Everything that brings the values of a tensor to Python is counted."""
    count = []
    for name in ("tolist", "item", "__float__"):
        before = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, before=before: count.append(1) or before(self))
    others = tuple((f"n{number}", torch.tensor(float(number))) for number in range(5))
    mean_scalars([Losses(1.0, others)] * 3)
    assert len(count) == 1


def test_the_null_logger_has_the_methods_of_the_logger():
    for name, method in inspect.getmembers(NullLogger, inspect.isfunction):
        assert inspect.signature(method) == inspect.signature(getattr(Logger, name))
        if name == "close":
            assert NullLogger().close() is None
    logged = {name for name, _ in inspect.getmembers(Logger, inspect.isfunction) if name[0] != "_"}
    assert logged - vars(NullLogger).keys() == {"images_per_second"}


def test_printers_by_name():
    assert isinstance(printer_of("progress", "alexeyab"), ProgressLine)
    assert isinstance(printer_of("darknet", "alexeyab"), StepLines)
    with pytest.raises(KeyError):
        printer_of("loud", "alexeyab")


def test_there_is_no_gpu_memory_on_a_cpu():
    assert gpu_memory(torch.device("cpu")) == {}


@pytest.mark.gpu
def test_the_peak_memory_of_a_gpu_is_logged(tmp_path):
    held = torch.zeros(2**28, device="cuda")  # 1 GiB of float32
    assert gpu_memory(held.device)["train/gpu_memory_gib"] >= 1.0


# ------------------------------------------------------------------------------------------------ tables


def filled(path, steps=3):
    with closing(CsvTable(path, first_step=1)) as table:
        for step in range(1, steps + 1):
            table.add(step, {"loss": step / 3, "iou, mean": step})


def test_a_table_is_a_header_and_a_row_a_step(tmp_path):
    filled(tmp_path / "run" / "scalars.csv")
    # by hand; all digits of the numbers
    assert (tmp_path / "run" / "scalars.csv").read_text().splitlines() == [
        'step,loss,"iou, mean"',
        "1,0.3333333333333333,1",
        "2,0.6666666666666666,2",
        "3,1,3",
    ]


def test_a_table_of_a_resumed_run_has_each_step_once(tmp_path):
    path = tmp_path / "scalars.csv"
    filled(path, steps=5)  # the last checkpoint is of step 3
    with closing(CsvTable(path, first_step=4)) as table:
        table.add(4, {"iou, mean": 40, "loss": 4})
    assert table.read(("step", "loss", "iou, mean")) == [
        [1, 2, 3, 4],
        [1 / 3, 2 / 3, 1, 4],
        [1, 2, 3, 40],
    ]


@pytest.mark.parametrize("cut", range(1, 17))
def test_an_unfinished_row_is_removed(tmp_path, cut):
    path = tmp_path / "scalars.csv"
    filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with closing(CsvTable(path, first_step=4)) as table:
        table.add(4, {"loss": 0.5, "iou, mean": 0})
    rows = whole.splitlines(keepends=True)[: 3 if cut <= 6 else 2]  # the last row is "3,1,3\n"
    assert path.read_bytes() == b"".join(rows) + b"4,0.5,0\n"


@pytest.mark.parametrize(
    "text", ["", "step,loss", "step,loss\n", "notes\nof mine\n", "step,loss\n\0\0\0\0\n", "\xff\n"]
)
def test_a_table_without_a_row_is_started_again(tmp_path, text):
    path = tmp_path / "scalars.csv"
    path.write_bytes(text.encode("latin-1"))
    assert rows_to_keep(path, 100) == (0, [])
    with closing(CsvTable(path, first_step=1)) as table:
        table.add(1, {"loss": 2})
    assert path.read_text() == "step,loss\n1,2\n"


def test_a_new_run_in_an_old_folder_starts_a_new_table(tmp_path):
    filled(tmp_path / "scalars.csv")
    with closing(CsvTable(tmp_path / "scalars.csv", first_step=1)) as table:
        table.add(1, {"other": 7})
    assert (tmp_path / "scalars.csv").read_text() == "step,other\n1,7\n"


def test_a_later_name_is_a_new_column_and_a_missing_one_an_empty_field(tmp_path):
    path = tmp_path / "scores.csv"
    with closing(CsvTable(path, first_step=1)) as table:
        table.add(100, {"map": None})
        table.add(200, {"map": 0.5, "ap/red": 0.25})
        table.add(300, {"ap/red": 0.75})
    assert path.read_text() == "step,map,ap/red\n100,,\n200,0.5,0.25\n300,,0.75\n"
    steps, maps, nothing = table.read(("step", "map", "no column"))
    assert steps == [100, 200, 300] and maps[1] == 0.5
    assert all(map(math.isnan, [maps[0], maps[2], *nothing]))


def test_a_full_disk_leaves_whole_rows_and_later_rows_follow(tmp_path):
    path = tmp_path / "scalars.csv"
    filled(path)
    table = CsvTable(path, first_step=4)
    before = path.read_bytes()
    with full_beyond(len(before) + 4):  # room for half a row
        with pytest.raises(OSError):
            table.add(4, {"loss": 0.25, "iou, mean": 0})
        assert path.read_bytes() == before
        with pytest.raises(OSError):  # nor for a column more
            table.add(4, {"other": 0.25})
    assert path.read_bytes() == before
    table.add(5, {"loss": 0.25, "iou, mean": 0})
    table.close()
    assert path.read_bytes() == before + b"5,0.25,0\n"


def test_a_killed_process_loses_no_row(tmp_path, project):
    program = (
        "import os, signal, sys; from pathlib import Path; from yolo.train.log.logger import CsvTable\n"
        "table = CsvTable(Path(sys.argv[1]), 1)\n"
        "for step in range(1, 8): table.add(step, {'loss': step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "scalars.csv"
    done = subprocess.run([sys.executable, "-c", program, path], cwd=project)
    assert done.returncode == -9
    assert path.read_text().endswith("6,6\n7,7\n")
