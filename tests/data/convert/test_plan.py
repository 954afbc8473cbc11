"""yolo.data.convert.plan: the processes of a conversion end with it, one that is killed is one line; names alike."""

import os
import signal
import subprocess
import sys
import time

import pytest

from yolo.data.convert.plan import LIKE_NAMES, POOL_FROM, like_names, map_in_processes
from yolo.errors import DatasetError

ITEMS = range(POOL_FROM)
GONE_WITHIN = 5  # seconds after the parent process was killed
SLEEPS = """
import os, sys, time
from pathlib import Path
from yolo.data.convert import plan

def work(item):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(60)

plan.usable_cores = lambda: 2
list(plan.map_in_processes(work, range(plan.POOL_FROM), "sleeping"))
"""


def die(item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_line(monkeypatch):
    monkeypatch.setattr("yolo.data.convert.plan.usable_cores", lambda: 2)
    with pytest.raises(DatasetError, match="^dying: found a process that was killed; was it the memory?") as error:
        list(map_in_processes(die, ITEMS, "dying"))
    assert "\n" not in str(error.value)


def is_running(pid):
    """Whether a process runs; one without a waiting parent (state Z) does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_killed_conversion(tmp_path, project, number):
    parent = subprocess.Popen([sys.executable, "-c", SLEEPS, tmp_path], cwd=project)
    end = time.monotonic() + 60
    while len(pids := os.listdir(tmp_path)) < 2:
        assert time.monotonic() < end and parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    parent.wait()
    end = time.monotonic() + GONE_WITHIN
    while any(map(is_running, pids)):
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.05)


def test_class_names_that_a_person_may_have_meant_as_one_are_named():
    notes = like_names(("Cat", "traffic light", "c at", "dog", "cat", "Traffic_Light", "traffic-light", "cats"))
    assert [(each.kind, each.message.partition(" (")[0]) for each in notes] == [
        (LIKE_NAMES, "'Cat', 'c at', 'cat'"),
        (LIKE_NAMES, "'traffic light', 'Traffic_Light', 'traffic-light'"),
    ]
