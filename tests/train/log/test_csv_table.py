"""yolo.train.log.csv_table: rows that are whole, after a kill, on a full disk and in a run that goes on."""

import math
import subprocess
import sys
from contextlib import closing

import pytest

from tests.helpers.full_disk import full_beyond
from yolo.train.log.csv_table import GrowingFile, Table, kept_part


def filled(path, steps=3):
    with closing(Table(path, first_step=1)) as table:
        for step in range(1, steps + 1):
            table.add(step, {"loss": step / 3, "iou, mean": step})


def test_a_row_a_step_below_a_header(tmp_path):
    filled(tmp_path / "run" / "scalars.csv")
    # by hand; all digits of the numbers
    assert (tmp_path / "run" / "scalars.csv").read_text().splitlines() == [
        'step,loss,"iou, mean"',
        "1,0.3333333333333333,1",
        "2,0.6666666666666666,2",
        "3,1,3",
    ]


def test_a_run_that_goes_on_writes_its_steps_once(tmp_path):
    path = tmp_path / "scalars.csv"
    filled(path, steps=5)  # the last checkpoint is of step 3
    with closing(Table(path, first_step=4)) as table:
        table.add(4, {"iou, mean": 40, "loss": 4})
    assert table.read(("step", "loss", "iou, mean")) == [
        [1, 2, 3, 4],
        [1 / 3, 2 / 3, 1, 4],
        [1, 2, 3, 40],
    ]


@pytest.mark.parametrize("cut", range(1, 17))
def test_a_row_that_was_not_finished_goes(tmp_path, cut):
    path = tmp_path / "scalars.csv"
    filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with closing(Table(path, first_step=4)) as table:
        table.add(4, {"loss": 0.5, "iou, mean": 0})
    kept = whole.splitlines(keepends=True)[: 3 if cut <= 6 else 2]  # the last row is "3,1,3\n"
    assert path.read_bytes() == b"".join(kept) + b"4,0.5,0\n"


@pytest.mark.parametrize(
    "text", ["", "step,loss", "step,loss\n", "notes\nof mine\n", "step,loss\n\0\0\0\0\n", "\xff\n"]
)
def test_what_has_no_row_begins_anew(tmp_path, text):
    path = tmp_path / "scalars.csv"
    path.write_bytes(text.encode("latin-1"))
    assert kept_part(path, 100) == (0, [])
    with closing(Table(path, first_step=1)) as table:
        table.add(1, {"loss": 2})
    assert path.read_text() == "step,loss\n1,2\n"


def test_a_new_run_in_an_old_folder_begins_anew(tmp_path):
    filled(tmp_path / "scalars.csv")
    with closing(Table(tmp_path / "scalars.csv", first_step=1)) as table:
        table.add(1, {"other": 7})
    assert (tmp_path / "scalars.csv").read_text() == "step,other\n1,7\n"


def test_a_late_name_gets_a_column_and_a_missing_one_an_empty_field(tmp_path):
    path = tmp_path / "scores.csv"
    with closing(Table(path, first_step=1)) as table:
        table.add(100, {"map": None})
        table.add(200, {"map": 0.5, "ap/red": 0.25})
        table.add(300, {"ap/red": 0.75})
    assert path.read_text() == "step,map,ap/red\n100,,\n200,0.5,0.25\n300,,0.75\n"
    steps, maps, nothing = table.read(("step", "map", "unheard of"))
    assert steps == [100, 200, 300] and maps[1] == 0.5
    assert all(map(math.isnan, [maps[0], maps[2], *nothing]))


def test_a_full_disk_leaves_whole_rows_and_later_rows_follow(tmp_path):
    path = tmp_path / "scalars.csv"
    filled(path)
    table = Table(path, first_step=4)
    before = path.read_bytes()
    with full_beyond(len(before) + 4):  # room for half a row
        with pytest.raises(OSError):
            table.add(4, {"loss": 0.25, "iou, mean": 0})
        assert path.read_bytes() == before
        with pytest.raises(OSError):  # nor for a column more
            table.add(4, {"other": 0.25})
    assert path.read_bytes() == before
    table.add(5, {"loss": 0.25, "iou, mean": 0})
    table.close()
    assert path.read_bytes() == before + b"5,0.25,0\n"


def test_a_killed_process_loses_no_row(tmp_path, project):
    program = (
        "import os, signal, sys; from pathlib import Path; from yolo.train.log.csv_table import Table\n"
        "table = Table(Path(sys.argv[1]), 1)\n"
        "for step in range(1, 8): table.add(step, {'loss': step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "scalars.csv"
    done = subprocess.run([sys.executable, "-c", program, path], cwd=project)
    assert done.returncode == -9
    assert path.read_text().endswith("6,6\n7,7\n")


def test_a_growing_file_is_cut_only_where_asked(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with closing(GrowingFile(path)) as file:
        file.append(b"g")
    assert path.read_bytes() == b"abcdefg"
    with closing(GrowingFile(path, keep=2)) as file:
        file.append(b"-")
    assert path.read_bytes() == b"ab-"
