"""evaluate: all metrics from a real run, its speed, and several processes with the results of one."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, network_of, write_set
from yolo.model.weights import save_weights

PATIENCE = 240  # seconds; torchrun starts Python with torch three times, on a busy machine too
SPEED = r"^8 images in \d+\.\d s, \d+\.\d images/s\n$"


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A folder with cfg, weights and eight images; the current folder."""
    write_set(tmp_path / "eight", [*FOUR_IMAGES, *FOUR_IMAGES])
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPTIONS = (
    "--cfg", "tiny.cfg", "--weights", "tiny.weights", "--data", "eight/tiny.data", "--workers", "0",
    "--device", "cpu", "--batch", "1",
)  # fmt: skip


@pytest.fixture
def evaluated(load_tool, call_tool):
    return lambda *more: call_tool(load_tool("evaluate"), *OPTIONS, *more)


def test_what_was_printed_stays_and_all_metrics_come_after(case, evaluated):
    code, usual, err = evaluated("--json", "usual.json")
    assert code == 0 and re.search(SPEED, err)
    assert [line.split()[0] for line in usual.splitlines()[-3:]] == ["mAP", "coco", "numbers:"]
    code, everything, _ = evaluated("--metric", "all", "--thresh", "0.1", "--json", "all.json")
    assert code == 0
    first = usual.removesuffix("numbers: usual.json\n")
    assert everything.startswith(first)
    added = everything.removeprefix(first)
    for words in (
        "| VOC07 mAP ",
        "| Darknet: mAP -points 11 ",
        "| COCO AR large ",
        "| score > 0.1 ",
    ):
        assert added.count(words) == 1
    assert "nan" not in added
    usual, everything = (json.loads((case / f"{name}.json").read_text()) for name in ("usual", "all"))
    record = everything.pop("all")
    assert everything == usual  # the old keys stay
    assert record["score_thresh"] == 0.1 and len(record["coco"]) == 13
    for row, (metric, key) in zip(record["rows"], (("voc07", "mAP"), ("area", "mAP")), strict=False):
        assert row["value"] == usual["metrics"][metric][key]


def test_one_metric_is_all_that_is_asked_for(case, evaluated):
    code, out, _ = evaluated("--metric", "area", "--json", "area.json")
    assert code == 0 and "coco" not in out and "Darknet" not in out
    assert set(json.loads((case / "area.json").read_text())) == {"iou", "metrics"}


def test_a_folder_that_cannot_be_made_is_reported_before_the_work(case, evaluated):
    code, out, err = evaluated("--save-results", "tiny.cfg")
    assert (code, out) == (2, "") and err == "error: tiny.cfg: found a file, expected a folder to write to\n"


def test_two_processes_find_what_one_finds(case, project, evaluated):
    """Image by image, so that the arithmetic is the same: the files are equal byte for byte."""
    code, alone, _ = evaluated("--metric", "voc07", "--save-results", "one")
    assert code == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    tool = [str(project / "tools/evaluate.py"), *OPTIONS, "--metric", "voc07"]
    done = subprocess.run(
        [sys.executable, *launcher, *tool, "--save-results", "two"],
        cwd=case, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == alone.replace("one/", "two/")  # only the first process prints
    assert len(re.findall("images/s", done.stderr)) == 1
    for name in ("red", "green"):
        one, two = ((case / folder / f"comp4_det_test_{name}.txt").read_bytes() for folder in ("one", "two"))
        assert one == two and one.count(b"\n") > 8
