"""yolo.train.log.console: the lines of a step in a terminal and in a log file."""

import io
import math
import os
import sys
from dataclasses import replace

import pytest

from yolo.train.log.console import ProgressLine, StepLines, StepReport, fitted_line, format_duration, long_line

REPORT = StepReport(
    step=12345, last_step=500200, loss=12.3456, average_loss=23.4567, learning_rate=0.001, metrics={"IoU": 0.5},
    seconds=1.5, images_per_second=189.44, seconds_left=3725, images=64,
)  # fmt: skip
SHORT = "12345/500200 avg loss 23.457 IoU 0.50 rate 0.001 189/s 1:02:05 left"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_of_a_step():
    assert long_line(REPORT) == (
        "12345/500200  loss 12.346 (avg 23.457)  IoU 0.500  rate 0.001  189.4 images/s  1:02:05 left"
    )
    assert "rate" in long_line(replace(REPORT, metrics={})) and "IoU" not in long_line(replace(REPORT, metrics={}))
    assert "  top-1 0.250  rate" in long_line(replace(REPORT, metrics={"top-1": 0.25}))


@pytest.mark.parametrize(("speed", "text"), [(12345.6, "12345.6"), (1.0, "1.0"), (0.0432, "0.043"), (0.0, "--")])
def test_a_slow_or_unknown_speed_is_not_printed_as_0(speed, text):
    """A small rate also has its digits."""
    line = long_line(replace(REPORT, images_per_second=speed, learning_rate=3.164e-15))
    assert f"  rate 3.164e-15  {text} images/s  " in line
    assert fitted_line(replace(REPORT, images_per_second=0.0432), 80) == SHORT.replace("189/s", "0.043/s")


@pytest.mark.parametrize(
    ("columns", "text"),
    [(200, long_line(REPORT)), (len(long_line(REPORT)) + 1, long_line(REPORT)),
     (len(long_line(REPORT)), SHORT), (80, SHORT), (len(SHORT) + 1, SHORT),
     (len(SHORT), SHORT[:-1]), (20, SHORT[:19]), (1, "1"), (0, "1")],
)  # fmt: skip
def test_a_line_never_fills_the_last_column(columns, text):
    assert fitted_line(REPORT, columns) == text


def test_in_a_terminal_one_line_is_overwritten_and_messages_go_below_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    line = ProgressLine()
    line.step(REPORT)
    line.step(REPORT)
    assert terminal.getvalue() == f"\r\x1b[K{SHORT}" * 2
    line.message("a table")
    assert terminal.getvalue().endswith("left\na table\n")
    line.close()
    assert terminal.getvalue().endswith("left\na table\n")


def test_a_log_file_gets_a_line_every_20_seconds_and_at_the_end(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("yolo.train.log.console.time.monotonic", lambda: now[0])
    line = ProgressLine()
    counts = []
    for now[0], step in ((119.0, 1), (121.0, 2), (140.0, 3), (141.0, 500200)):
        line.step(replace(REPORT, step=step))
        counts.append(capsys.readouterr().err.count("\n"))
    assert counts == [0, 1, 0, 1]


def test_step_lines_go_to_stdout_and_messages_to_stderr(capsys):
    printer = StepLines(lambda report: f"step {report.step}")
    printer.step(replace(REPORT, head_lines=["a head", "another"]))
    printer.message("a table")
    printer.step(REPORT)
    printer.close()
    out, err = capsys.readouterr()
    assert out == "a head\nanother\nstep 12345\nstep 12345\n" and err == "a table" + os.linesep


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (360000, "100:00:00"),
     (math.nan, "--"), (math.inf, "--")],
)  # fmt: skip
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text
