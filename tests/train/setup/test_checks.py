"""yolo.train.setup.checks: errors and remarks before any image is read."""

from dataclasses import replace

import pytest

from tests.helpers.tiny_data import cfg_text
from tests.helpers.training_options import training_options
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.schedule import Schedule
from yolo.train.setup.checks import batch_one_error, slow_start
from yolo.train.setup.run import start


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[net]\n# Testing\nbatch=1\nsubdivisions=1\n", ("batch=64 (line 3)", "subdivisions=16 (line 4)")),
        ("[net]\nwidth=8\n", ("batch=64 and", "subdivisions=16 in")),
    ],
)
def test_the_error_for_a_cfg_for_testing_names_the_two_lines_to_change(text, lines):
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


def test_a_batch_norm_over_one_value_is_reported_before_training(four, tmp_path):
    """Mini-batches of one image, and a map of 1 x 1: torch raises in the first step."""
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(cfg_text())
    small = (("width", "8"), ("height", "8"), ("subdivisions", "4"))
    with pytest.raises(CfgError, match="tiny.cfg: found mini-batches of 1 image and a batch norm over a map of 1x1"):
        start(training_options(cfg, four.data, overrides=small, out=tmp_path / "run"))
