"""find_lr: a real sweep, and wrong options as one line."""

import re

import cv2
import pytest

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.model.weights import save_weights


@pytest.fixture
def call(load_tool, call_tool, four, tmp_path, monkeypatch):
    """call("--steps", ...) → exit code, stdout, stderr of the tool on four images."""
    (tmp_path / "tiny.cfg").write_text(cfg_text().replace("max_batches=6", "max_batches=99"))
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights", seen=80)
    monkeypatch.chdir(tmp_path)
    fixed = ("--cfg", "tiny.cfg", "--data", "four/tiny.data", "--workers", 0, "--device", "cpu")
    tool = load_tool("find_lr")
    return lambda *arguments: call_tool(tool, *fixed, *arguments)


def test_help_shows_a_real_example(call):
    code, out, _ = call("--help")
    assert code == 0 and re.search(r"\n  yolo-darknet find_lr --cfg \S+", out)


def test_a_sweep_writes_its_image_and_nothing_else(call, tmp_path, four):
    before = {*tmp_path.rglob("*")}
    code, out, err = call("--steps", 12, "--from", "1e-5", "--to", "0.01", "--out", "out")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["rate", "loss", "smoothed"]
    assert lines[1].startswith("     1e-05 ") and lines[12].startswith("      0.01 ")
    assert lines[13] == "image: out/lr.png"
    assert re.match(r"suggested learning_rate: (none|\d\S*): ", lines[14]) and len(lines) == 15
    assert cv2.imread("out/lr.png") is not None
    made = {path.relative_to(tmp_path).as_posix() for path in {*tmp_path.rglob("*")} - before}
    assert made == {"out", "out/lr.png"}


def test_weights_are_where_it_starts_from_and_their_seen_does_not_count(call):
    _, fresh, _ = call("--steps", 2)
    code, loaded, _ = call("--steps", 2, "--weights", "tiny.weights")
    assert code == 0 and loaded.splitlines()[1] != fresh.splitlines()[1]
    code, cut, _ = call("--steps", 2, "--weights", "tiny.weights", "--cutoff", 1)
    assert code == 0 and cut.splitlines()[1] != loaded.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--from", "1", "--to", "0.1"), "^error: found --from 1 --to 0.1, expected a rate"),
        (("--from", "-1"), "argument --from: found '-1', expected a number above 0$"),
        (("--steps", "1"), "argument --steps: found '1', expected a whole number from 2 on$"),
        (("--steps", "100"), "^error: tiny.cfg: found max_batches=99, expected at least the 100 s"),
        (("--cutoff", "3"), "^error: found --cutoff without --weights FILE"),
        (("--data", "away.data"), "^error: away.data: No such file"),
        (("--out", "tiny.cfg"), "^error: tiny.cfg"),
    ],
)
def test_wrong_options_are_one_line(call, arguments, match):
    if arguments[0] == "--out":
        arguments = ("--steps", 2, *arguments)
    code, out, err = call(*arguments)
    assert code == 2 and out == "" and re.search(match, err.splitlines()[-1]), err
