"""yolo.files.chart_file: the format is that of the ending."""

import pytest
from matplotlib.figure import Figure

from yolo.files.chart_file import CHART_ENDINGS, write_figure

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8\xff", "jpeg": b"\xff\xd8\xff"}


@pytest.mark.parametrize("ending", [*CHART_ENDINGS, ".SVG"])
def test_the_ending_decides_on_the_format(tmp_path, ending):
    path = tmp_path / f"new/chart{ending}"
    write_figure(path, Figure((2, 1)))
    assert path.read_bytes().startswith(STARTS[ending[1:].lower()])
