"""yolo.train.setup.checks: what is said before any image is read."""

from dataclasses import replace

import pytest

from yolo.cfg import parse_cfg
from yolo.schedule import Schedule
from yolo.train.setup.checks import batch_one_error, slow_start


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[net]\n# Testing\nbatch=1\nsubdivisions=1\n", ("batch=64 (line 3)", "subdivisions=16 (line 4)")),
        ("[net]\nwidth=8\n", ("batch=64 and", "subdivisions=16 in")),
    ],
)
def test_a_cfg_for_testing_is_told_which_two_lines_to_change(text, lines):
    message = str(batch_one_error(parse_cfg(text, "x.cfg")[0]))
    assert message.startswith("x.cfg: found batch=1, which is for testing, expected")
    assert all(line in message for line in lines)
    assert message.endswith("--set batch=64 subdivisions=16 does it without editing")


def test_a_burn_in_longer_than_the_run_is_said_with_the_rate_that_is_reached():
    schedule = Schedule(0.001, "constant", max_batches=10, burn_in=4000)
    # by hand: 0.001 * (10 / 4000) ** 4
    assert "rises to 3.9e-14 only, of 0.001" in slow_start(schedule, 0)
    assert "found burn_in=4000, but the run ends at step 10" in slow_start(schedule, 0)
    assert "--set burn_in=1 " in slow_start(schedule, 0)
    assert slow_start(replace(schedule, burn_in=10), 0) == ""
