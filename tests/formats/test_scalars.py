"""yolo.formats.scalars: the parts of the loss that a training run wrote; tables that are none are left out."""

import pytest

from yolo.formats.scalars import LOSS_COLUMNS, read_loss_parts

HEADER = ",".join(("step", "loss/total", *LOSS_COLUMNS))


def test_rows_with_all_parts_are_read(tmp_path):
    path = tmp_path / "scalars.csv"
    path.write_text(f"{HEADER}\n1,10,1,2,3,4\n2,9,1,,3,4\n3,nan,nan,2,3,4\n4,9,.5,2.5,3,3\n5,9,1")  # the last is cut
    assert read_loss_parts(path) == [(1, (1.0, 2.0, 3.0, 4.0)), (4, (0.5, 2.5, 3.0, 3.0))]


@pytest.mark.parametrize("content", [b"", b"step,loss/total\n1,3\n", b"\x00\xff,\x00\n\x00,1\n", b"[1, 2]"])
def test_another_table_has_no_parts(content, tmp_path):
    (tmp_path / "scalars.csv").write_bytes(content)
    assert read_loss_parts(tmp_path / "scalars.csv") == [] == read_loss_parts(tmp_path / "away.csv")
