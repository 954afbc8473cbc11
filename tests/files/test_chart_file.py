"""yolo.files.chart_file: the format is that of the ending."""

import warnings
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from yolo.files.chart_file import CHART_ENDINGS, chart_fonts, write_figure

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8\xff", "jpeg": b"\xff\xd8\xff"}


@pytest.mark.parametrize("ending", [*CHART_ENDINGS, ".SVG"])
def test_the_ending_decides_on_the_format(tmp_path, ending):
    path = tmp_path / f"new/chart{ending}"
    write_figure(path, Figure((2, 1)))
    assert path.read_bytes().startswith(STARTS[ending[1:].lower()])


def test_letters_come_from_the_fonts_that_are_installed_and_a_missing_one_is_no_warning(tmp_path, monkeypatch):
    font = [each for each in fontManager.ttflist if each.name == "DejaVu Sans"][0]
    monkeypatch.setattr(fontManager, "ttflist", [font, replace(font, name="SimHei")])
    assert chart_fonts() == ["DejaVu Sans", "SimHei"]
    monkeypatch.setattr(fontManager, "ttflist", [font])
    figure = Figure((2, 1))
    figure.text(0.1, 0.1, "机动车", fontfamily=chart_fonts())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure(tmp_path / "a.png", figure)
    assert (tmp_path / "a.png").stat().st_size > 0
