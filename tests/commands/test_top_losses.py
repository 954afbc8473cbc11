"""top_losses: a wrong label comes first, three files are written, and wrong options are one line."""

import csv
import json
import re

import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, NAMES, cfg_text, network_of
from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.model.weights import save_weights

BOXES = [list(box[:4]) for boxes in FOUR_IMAGES for box in boxes]


@pytest.fixture
def call(load_tool, call_tool, case):
    """call("--by", ...) → exit code, stdout, stderr of the tool on four images."""
    fixed = ("--cfg", "tiny.cfg", "--weights", "tiny.weights", "--data", "four/tiny.data", "--workers", 0,
             "--device", "cpu", "--report", "top")  # fmt: skip
    tool = load_tool("top_losses")
    return lambda *arguments: call_tool(tool, *fixed, *arguments)


def test_help_shows_a_real_example(call):
    code, out, _ = call("--help")
    assert code == 0 and re.search(r"\n  yolo-darknet top-losses --cfg \S+", out)


def test_the_page_and_both_tables_have_one_order(call, tmp_path):
    for arguments, part in (
        ((), "label"),
        (("--by", "objectness", "--set", "valid"), None),
        (("--by", "total"), "total"),
    ):
        code, out, err = call(*arguments, "--top", 3)
        assert code == 0, err
        with (tmp_path / "top" / "losses.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4 and [row["place"] for row in rows] == ["1", "2", "3", "4"]
        if part:
            values = [float(row[part]) for row in rows]
            assert values == sorted(values, reverse=True)
        record = json.loads((tmp_path / "top" / "top_losses.json").read_text())
        assert [each["path"] for each in record["top"]] == [row["image"] for row in rows[:3]]
        assert re.findall(r"^ +\d+  \w+ [\d.]+  (.*)$", out, re.M) == [row["image"] for row in rows[:3]]
        for sign in (sign for each in record["top"] for sign in each["signs"] if sign["target"] is not None):
            x1, y1, x2, y2 = sign["box"]  # a label of the drawn images, in their pixels
            assert [round(x1), round(y1), round(x2), round(y2)] in BOXES
        page = (tmp_path / "top" / "index.html").read_text()
        places = [page.index(f"<strong>{place}. ") for place in (1, 2, 3)]
        assert places == sorted(places) and page.count("<figure") == 3


def test_a_gray_network_is_shown_what_it_found_in_gray(call, tmp_path, four):
    text = cfg_text(channels=1)
    network = network_of(text, seed=1).eval()
    (tmp_path / "tiny.cfg").write_text(text)
    save_weights(network, tmp_path / "tiny.weights")
    code, _, err = call("--thresh", 0.01, "--top", 1)
    assert code == 0, err
    (top,) = json.loads((tmp_path / "top" / "top_losses.json").read_text())["top"]
    unlabeled = [float(sign["text"].split()[1]) for sign in top["signs"] if sign["kind"] == "no label"]
    scores = Detector(network, NAMES, 0.01, engine=network)(read_image(top["path"], 1)).scores.tolist()
    assert unlabeled and all(min(abs(each - score) for score in scores) < 0.00501 for each in unlabeled)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--set", "test"), "argument --set: invalid choice: 'test'"),
        (("--by", "loss"), "argument --by: invalid choice"),
        (("--report", "tiny.cfg"), "tiny.cfg: found a file, expected a folder"),
        (("--weights", "away.weights"), "^error: away.weights"),
        (("--data", "away.data"), "^error: away.data: No such file"),
    ],
)
def test_wrong_options_are_one_line(call, arguments, match):
    code, _, err = call(*arguments)
    assert code == 2 and re.search(match, err.strip().splitlines()[-1])


def test_other_names_than_classes_are_an_error_before_anything_is_written(call, tmp_path, four):
    (four.folder / "tiny.names").write_text("".join(f"{name}\n" for name in (*NAMES, "blue")))
    code, _, err = call()
    found = f"classes=2 and 3 names in {four.folder / 'tiny.names'}"
    assert code == 2 and err == f"error: four/tiny.data: found {found}, expected as many\n"
    assert not (tmp_path / "top").exists()


def test_the_page_opens_in_a_browser_and_its_console_is_silent(call, tmp_path, opened):
    assert call("--by", "label")[0] == 0
    page, console = opened(tmp_path / "top" / "index.html")
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
    assert sum(tag == "figure" for tag, _ in page.starts) == 4
