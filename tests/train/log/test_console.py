"""yolo.train.log.console: what a terminal and a log file get of a step."""

import io
import math
import os
import sys
from dataclasses import replace

import pytest

from yolo.train.log.console import (
    ProgressLine,
    StepLines,
    Told,
    fitted_line,
    format_duration,
    long_line,
)

TOLD = Told(
    step=12345, last_step=500200, loss=12.3456, average=23.4567, rate=0.001, quality={"IoU": 0.5},
    seconds=1.5, speed=189.44, left=3725, images=64,
)  # fmt: skip
SHORT = "12345/500200 avg loss 23.457 IoU 0.50 rate 0.001 189/s 1:02:05 left"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_step_in_words():
    assert long_line(TOLD) == (
        "12345/500200  loss 12.346 (avg 23.457)  IoU 0.500  rate 0.001000  189.4 images/s  1:02:05 left"
    )
    assert "rate" in long_line(replace(TOLD, quality={})) and "IoU" not in long_line(
        replace(TOLD, quality={})
    )
    assert "  top-1 0.250  rate" in long_line(replace(TOLD, quality={"top-1": 0.25}))


@pytest.mark.parametrize(
    ("columns", "text"),
    [(200, long_line(TOLD)), (len(long_line(TOLD)) + 1, long_line(TOLD)),
     (len(long_line(TOLD)), SHORT), (80, SHORT), (len(SHORT) + 1, SHORT),
     (len(SHORT), SHORT[:-1]), (20, SHORT[:19]), (1, "1"), (0, "1")],
)  # fmt: skip
def test_a_line_never_reaches_the_last_column(columns, text):
    assert fitted_line(TOLD, columns) == text


def test_a_terminal_gets_one_line_written_over_and_other_lines_below_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    line = ProgressLine()
    line.step(TOLD)
    line.step(TOLD)
    assert terminal.getvalue() == f"\r\x1b[K{SHORT}" * 2
    line.say("a table")
    assert terminal.getvalue().endswith("left\na table\n")
    line.close()
    assert terminal.getvalue().endswith("left\na table\n")


def test_a_log_file_gets_a_line_at_times_and_at_the_end(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("yolo.train.log.console.time.monotonic", lambda: now[0])
    line = ProgressLine()
    counts = []
    for now[0], step in ((119.0, 1), (121.0, 2), (140.0, 3), (141.0, 500200)):
        line.step(replace(TOLD, step=step))
        counts.append(capsys.readouterr().err.count("\n"))
    assert counts == [0, 1, 0, 1]


def test_step_lines_go_where_darknet_has_them(capsys):
    printer = StepLines(lambda told: f"step {told.step}")
    printer.step(replace(TOLD, details=["a head", "another"]))
    printer.say("a table")
    printer.step(TOLD)
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
