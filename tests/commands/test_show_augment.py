"""show_augment: a sheet of training samples, the same for a seed; wrong input is one line and code 2."""

import re

import numpy as np
import pytest

from tests.helpers.tiny_data import cfg_text
from yolo.data.images import read_image
from yolo.detect.draw import SHEET_GAP


@pytest.fixture
def call(load_tool, call_tool, four, tmp_path, monkeypatch):
    """call("--out", ...) → exit code, stdout, stderr; cfg and data are the drawn set's."""
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    (tmp_path / "gray.cfg").write_text(cfg_text(channels=1))
    monkeypatch.chdir(tmp_path)
    tool = load_tool("show_augment")

    def call(*arguments, cfg="tiny.cfg"):
        return call_tool(tool, "--cfg", cfg, "--data", four.data, *arguments)

    return call


def test_a_sheet_has_its_images_in_rows_with_even_margins(call, tmp_path):
    code, out, _ = call("--count", "6", "--out", "folder/sheet.png")
    assert code == 0
    assert re.fullmatch(r"6 images of 64 x 48, \d+ boxes: folder/sheet.png\n", out)
    sheet = read_image(tmp_path / "folder/sheet.png")
    height, width = 48 * 5, 64 * 5  # enlarged, so that the longer side has 320 pixels
    gap = SHEET_GAP
    assert sheet.shape == (gap + 2 * (height + gap), gap + 3 * (width + gap), 3)
    dark = (sheet == sheet[0, 0]).all(axis=(1, 2))
    assert dark.nonzero()[0].tolist() == [
        *range(gap), *range(gap + height, 2 * gap + height), *range(len(sheet) - gap, len(sheet)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "mosaic=1", "blur=3"),
        ("--set", "mixup=1", "gaussian_noise=30", "letter_box=1"),
        ("--dialect", "pjreddie"),
    ],
)
@pytest.mark.parametrize("cfg", ["tiny.cfg", "gray.cfg"])
def test_the_same_seed_gives_the_same_sheet(call, tmp_path, options, cfg):
    sheets = []
    for number, seed in enumerate((0, 0, 1)):
        code, _, error = call(*options, "--seed", seed, "--count", 4, "--out", f"{number}.png", cfg=cfg)
        assert code == 0, error
        sheets.append(read_image(tmp_path / f"{number}.png"))
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert (sheets[0] != sheets[2]).any()


def test_more_images_than_a_step_has_come_from_the_next_ones(call):
    assert call("--count", "9", "--out", "sheet.png")[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--set", "width"), "expected KEY=VALUE"),
        (("--count", "0"), "expected a whole number from 1 on"),
        (("--out", "."), "expected a file"),
        (("--out", "sheet.jpg"), "--out sheet.jpg: expected a name ending in .png"),
        (("--set", "channels=4"), "found channels=4, expected 1 or 3"),
        (("--set", "mosaic=x"), "mosaic"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(call, arguments, message):
    code, out, error = call(*arguments)
    assert code == 2 and message in error.splitlines()[-1] and out == ""


def test_missing_files_and_other_classes_are_named(call, four):
    code, _, error = call(cfg="none.cfg")
    assert code == 2 and error.count("\n") == 1 and "none.cfg" in error
    four.data.write_text(four.data.read_text().replace("classes = 2", "classes = 3"))
    code, _, error = call()
    assert code == 2 and "classes=3" in error and "expected 2" in error
