"""yolo.files.outputs: an input is never written over, and only older results are replaced."""

import pytest

from yolo.errors import OutputError
from yolo.files.chart_file import CHART_ENDINGS, write_figure
from yolo.files.outputs import refuse_charts_over, refuse_exports_over, refuse_over_inputs, refuse_texts_over


def test_results_and_annotations_in_a_folder_that_is_read_are_inputs(tmp_path):
    for name in ("comp4_det_test_a.txt", "a.xml", "scores.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="comp4_det_test_a.txt: found an input"):
        refuse_texts_over([tmp_path / "comp4_det_test_a.txt"], [tmp_path])
    with pytest.raises(OutputError, match="a.xml: found an input"):
        refuse_over_inputs([tmp_path / "a.xml"], [tmp_path])
    refuse_texts_over([tmp_path / "scores.json", tmp_path / "new.txt"], [tmp_path])


@pytest.mark.parametrize("ending", [each[1:] for each in CHART_ENDINGS])
def test_only_an_older_chart_is_replaced_by_a_chart(tmp_path, ending):
    from matplotlib.figure import Figure

    chart, photo = tmp_path / f"a.{ending}", tmp_path / f"photo.{ending}"
    write_figure(chart, Figure())
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9000))
    refuse_charts_over([chart, tmp_path / "new.png", None], [photo])
    with pytest.raises(OutputError, match=rf"photo.{ending}: found a file that is no chart"):
        refuse_charts_over([photo], [])
    with pytest.raises(OutputError, match="found an input"):
        refuse_charts_over([chart], [chart])


def test_only_an_older_export_is_replaced_by_an_export(tmp_path):
    for name in ("mine.onnx", "labels.xml", "alone.bin"):
        (tmp_path / name).write_text("<annotation/>")
    for output, message in (
        ("mine.onnx", "mine.onnx: found a file that export did not write"),
        ("labels.xml", "labels.xml: found a file that export did not write"),
        ("alone.xml", "alone.bin: found a file without its alone.xml"),
    ):
        with pytest.raises(OutputError, match=message):
            refuse_exports_over(tmp_path / output, [])
    with pytest.raises(OutputError, match="mine.onnx: found an input"):
        refuse_exports_over(tmp_path / "mine.onnx", [tmp_path / "mine.onnx"])
    refuse_exports_over(tmp_path / "alone.onnx", [])
