"""yolo.train.journal: the curves TensorBoard gets, and the lines a terminal and a log file get."""

import io
import math
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from yolo.train.journal import Journal, clock
from yolo.train.loss import Losses


def losses(total, assigned=3):
    parts = [torch.tensor(value) for value in (total, total / 2, total / 4, total / 4, 0.5)]
    return Losses(*parts, assigned=assigned)


@pytest.fixture
def events(tmp_path):
    """Two steps, a score and a picture, read back."""
    journal = Journal(tmp_path, first_step=1, last_step=2)
    journal.step(1, [losses(4.0), losses(8.0)], rate=0.01, pictures=4)
    journal.step(2, [losses(2.0), losses(2.0)], rate=0.02, pictures=4)
    journal.scores(2, 0.75, {"red": 0.5, "green": 1.0, "blue": None})
    journal.pictures_seen(2, "valid/0", np.full((6, 8, 3), (10, 20, 30), np.uint8))
    journal.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    return accumulator


def test_each_loss_term_rate_and_overlap_has_its_curve(events):
    values = {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    # by hand: the mean over the mini-batches of a step
    assert values["loss/total"] == [(1, 6.0), (2, 2.0)]
    assert values["loss/box"] == [(1, 3.0), (2, 1.0)]
    assert values["loss/objectness"] == [(1, 1.5), (2, 0.5)]
    assert values["loss/classification"] == [(1, 1.5), (2, 0.5)]
    assert values["train/iou"] == [(1, 0.5), (2, 0.5)]
    assert values["train/assigned"] == [(1, 1.5), (2, 1.5)]  # a picture
    assert [rate for _, rate in values["train/learning_rate"]] == pytest.approx([0.01, 0.02])
    assert len(values["train/pictures_per_second"]) == 2
    assert values["map/voc07"] == [(2, 0.75)]
    assert values["ap/red"] == [(2, 0.5)] and values["ap/green"] == [(2, 1.0)]
    assert "ap/blue" not in values  # nothing to find: no number


def test_pictures_are_there(events):
    (picture,) = events.Images("valid/0")
    assert (picture.step, picture.width, picture.height) == (2, 8, 6)


def test_a_log_file_gets_a_line_at_the_end_with_loss_rate_speed_and_time_left(tmp_path, capsys):
    journal = Journal(tmp_path, first_step=1, last_step=2)
    journal.step(1, [losses(4.0)], 0.01, 4)
    assert capsys.readouterr().err == ""  # too early for the next line
    journal.step(2, [losses(2.0)], 0.02, 4)
    journal.close()
    line = capsys.readouterr().err
    # by hand: Darknet's average, .9 * 4 + .1 * 2
    assert line.startswith("2/2  loss 2.000 (avg 3.800)  IoU 0.500  rate 0.020000  ")
    assert " pictures/s  0:00:00 left\n" in line and line.count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_written_over_and_other_lines_below_it(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    journal = Journal(tmp_path, first_step=5, last_step=50)
    journal.step(5, [losses(4.0)], 0.01, 4)
    journal.step(6, [losses(4.0)], 0.01, 4)
    assert terminal.getvalue().count("\r") == 2 and "\n" not in terminal.getvalue()
    journal.say("a table")
    assert terminal.getvalue().endswith("left\na table\n")
    journal.close()
    assert terminal.getvalue().endswith("left\na table\n")


def test_time_left_counts_from_the_first_step_of_this_run(tmp_path, monkeypatch):
    now = iter([0.0] + [10.0, 10.0, 11.0, 11.0])  # opened; each step looks twice
    monkeypatch.setattr("yolo.train.journal.time.monotonic", lambda: next(now))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    journal = Journal(tmp_path, first_step=101, last_step=162)
    for step in (101, 102):
        journal.step(step, [losses(1.0)], 0.01, 4)
    # by hand: 4 pictures in the second between the two steps; 60 steps of 4 pictures are left
    assert (
        "102/162" in terminal.getvalue() and "4.0 pictures/s  0:01:00 left" in terminal.getvalue()
    )
    journal.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (360000, "100:00:00"),
     (math.nan, "--"), (math.inf, "--")],
)  # fmt: skip
def test_clock(seconds, text):
    assert clock(seconds) == text
