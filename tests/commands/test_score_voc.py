"""score_voc as its users run it: a small case scored by hand, and wrong input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.detection_files import voc_annotation


@pytest.fixture
def case(tmp_path) -> Path:
    """Two cats, one detected and one not; a dog, detected with a lower score than a false positive."""
    for folder in ("Annotations", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations/a.xml").write_text(voc_annotation(("cat", 1, 1, 10, 10)))
    (tmp_path / "Annotations/b.xml").write_text(voc_annotation(("cat", 1, 1, 10, 10), ("dog", 20, 20, 29, 29)))
    (tmp_path / "test.txt").write_text("a\nb\n")
    (tmp_path / "results/comp4_det_test_cat.txt").write_text("a 0.9 1 1 10 10\n")
    (tmp_path / "results/comp4_det_test_dog.txt").write_text("b 0.8 20 20 29 29\nb 0.9 1 1 5 5\n")
    return tmp_path


def score(project: Path, case: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, project / "tools/score_voc.py", "results"]
    paths = ["--annotations", "Annotations", "--imageset", "test.txt"]
    return subprocess.run([*command, *paths, *options], cwd=case, capture_output=True, text=True)


def test_table_mean_json_and_plot(project, case):
    done = score(project, case, "--json", "scores.json", "--plot", "curves.png")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    # by hand: cat 6 of 11 points and half the area; dog precision 1/2 at every recall
    assert " ".join(lines[3].split()) == "| cat | 2 | 1 | 0.5455 | 0.5000 |"
    assert " ".join(lines[4].split()) == "| dog | 1 | 2 | 0.5000 | 0.5000 |"
    assert lines[-3:] == [
        "mAP voc07 0.522727  area 0.500000",
        "scores written to scores.json",
        "curves written to curves.png",
    ]
    record = json.loads((case / "scores.json").read_text())
    assert record["iou"] == 0.5
    assert record["metrics"]["voc07"]["classes"]["cat"] == pytest.approx(6 / 11, abs=1e-15)
    assert record["metrics"]["area"] == {"mAP": 0.5, "classes": {"cat": 0.5, "dog": 0.5}}
    assert (case / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_one_metric_at_another_iou_threshold(project, case):
    # the dog moved by two pixels: IoU 8/12 with the last pixel counted
    dog = case / "results/comp4_det_test_dog.txt"
    dog.write_text("b 0.8 22 20 31 29\n")
    done = score(project, case, "--metric", "area", "--iou", "0.66")
    assert done.stdout.splitlines()[-1] == "mAP area 0.750000"
    assert "voc07" not in done.stdout
    done = score(project, case, "--metric", "area", "--iou", "0.67")
    assert done.stdout.splitlines()[-1] == "mAP area 0.250000"


def test_a_class_with_results_and_no_ground_truth_is_shown_and_left_out_of_the_mean(project, case):
    (case / "results/comp4_det_test_eel.txt").write_text("a 0.5 1 1 2 2\n")
    done = score(project, case)
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "| eel | 0 | 1 | n/a | n/a |" in rows
    assert done.stdout.splitlines()[-1] == "mAP voc07 0.522727  area 0.500000"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda case: (case / "results/comp4_det_test_dog.txt").unlink(),
            "error: results: no comp4_det_test_<class>.txt found for dog, expected one",
        ),
        (
            lambda case: (case / "results/comp4_det_test_dog.txt").write_text("b 0.8 20 20\n"),
            "error: results/comp4_det_test_dog.txt:1: found 4 columns, expected 6",
        ),
        (
            lambda case: (case / "Annotations/b.xml").unlink(),
            "error: Annotations/b.xml: not found, expected the annotation",
        ),
        (lambda case: (case / "test.txt").unlink(), "error: test.txt: no such image set"),
    ],
    ids=["no results file", "bad line", "no annotation", "no image set"],
)
def test_bad_input_is_one_line_exit_code_two_and_nothing_written(project, case, spoil, message):
    spoil(case)
    (case / "scores.json").write_text("the last run's")
    done = score(project, case, "--json", "scores.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert (case / "scores.json").read_text() == "the last run's"


@pytest.mark.parametrize("option", [("--iou", "nan"), ("--plot", "curves.txt")])
def test_a_bad_option_is_one_line(project, case, option):
    done = score(project, case, *option)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {option[0]} {option[1]}: expected ")
    assert done.stderr.count("\n") == 1


def test_help_has_an_example(project, case):
    done = score(project, case, "--help")
    assert done.returncode == 0
    assert "--imageset VOCdevkit/VOC2007/ImageSets/Main/test.txt" in done.stdout


def test_all_metrics_are_printed_after_the_usual_output(project, case):
    usual = score(project, case, "--json", "usual.json")
    done = score(project, case, "--metric", "all", "--json", "all.json", "--thresh", "0.85")
    assert (done.returncode, done.stderr) == (0, "")
    first = usual.stdout.removesuffix("scores written to usual.json\n")
    assert done.stdout.startswith(first)
    added = done.stdout.removeprefix(first)
    # by hand, as continuous boxes: the true positives of cat and dog fit exactly; the dog's has the second score
    assert re.search(r"\| Darknet: mAP -points 0 +\| 0\.500000 \|", added)
    assert re.search(r"\| Darknet: mAP -points 11 +\| 0\.522727 \|", added)
    # above .85 the cat, right, and the dog's false detection; 3 ground truths
    assert re.search(r"\| Darknet: TP +\| +1 \|", added) and re.search(r"FN +\| +2 \|", added)
    assert re.search(r"\| precision +\| 0\.500000 \|", added)
    usual, everything = (json.loads((case / f"{name}.json").read_text()) for name in ("usual", "all"))
    record = everything.pop("all")
    assert everything == usual  # the old keys stay
    assert record["counts"]["together"]["TP"] == 1
    assert record["confusion"]["counts"] == [[1, 0, 1], [0, 0, 1], [0, 1, 0]]
