"""yolo.quantize.report: the table of versions."""

from yolo.quantize.report import versions_table
from yolo.quantize.scored_export import Version


def test_a_speed_is_the_ratio_of_the_times_in_its_column():
    versions = [
        Version("float32", (), None, 2**20, {"OpenVINO": 6.0}),
        Version("int8", (), None, 2**19, {"OpenVINO": 2.4}),
        Version("int8", (36,), None, 2**19, {"OpenVINO": 8.0}),
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in versions_table(versions).splitlines()]
    assert [row for row in rows if row] == [
        ["", "AP", "loss", "AP50", "MiB", "OpenVINO, ms", "speed"],
        ["float32", "-", "-", "-", "1.00", "6.00", "1.00x"],
        ["int8", "-", "-", "-", "0.50", "2.40", "2.50x"],
        ["int8, 1 layer in float32", "-", "-", "-", "0.50", "8.00", "0.75x"],
    ]
