"""yolo.train.setup.run_folder: no run is replaced without an option; one run at a time; no leftovers."""

import os
from pathlib import Path

import pytest

from yolo.errors import OutputError
from yolo.train.setup.options import Output
from yolo.train.setup.run_folder import LOCK, claimed, remove_old_run, run_folder


def enter(folder, resume=None, overwrite=False):
    with claimed(folder, "tiny", resume, overwrite):
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()


@pytest.mark.parametrize(
    "file", ["tiny_last.pt", "tiny_best.weights", "scalars.csv", "chart.png", "tensorboard/events"]
)
def test_a_folder_with_a_run_is_refused_without_an_option_for_it(tmp_path, file):
    folder = tmp_path / "run"
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text("content")
    ways = f"--resume {folder}/tiny_last.pt continues it, " if file == "tiny_last.pt" else ""
    expected = (
        f"found an earlier run ({file.split('/')[0]}), expected none; {ways}--overwrite starts from scratch, --out auto"
    )
    with pytest.raises(OutputError) as raised:
        enter(folder)
    assert expected in str(raised.value) and "\n" not in str(raised.value)
    enter(folder, overwrite=True)
    enter(folder, resume=folder / "tiny_last.pt")
    with pytest.raises(OutputError, match="earlier run"):
        enter(folder, resume=tmp_path / "other" / "tiny_last.pt")
    assert (folder / file).read_text() == "content"


def test_empty_files_of_a_run_that_never_stepped_and_other_runs_files_are_no_run(tmp_path):
    (tmp_path / "scalars.csv").touch()
    (tmp_path / "other_last.pt").write_text("content")
    enter(tmp_path)


def test_a_second_run_in_the_same_folder_is_refused_and_names_the_process(tmp_path):
    with claimed(tmp_path / "run", "tiny", None, False):
        with pytest.raises(OutputError, match=rf"another process at work in this folder \(number {os.getpid()}\)"):
            enter(tmp_path / "run", overwrite=True)
        assert (tmp_path / "run" / LOCK).exists()  # of the first one
        enter(tmp_path / "run" / "inner")
    enter(tmp_path / "run")


def test_a_lock_file_that_a_killed_run_left_is_no_obstacle(tmp_path):
    (tmp_path / LOCK).write_text("12345")
    enter(tmp_path)


def test_only_temporary_files_of_this_run_are_removed(tmp_path):
    left = [".tiny_last.pt.abc123_x", ".tiny_best.weights.00000000", ".chart.png.aaaaaaaa"]
    kept = [".other_last.pt.abc123_x", ".tiny_last.pt.long-enough", ".tiny_last.pt.abc", "tiny_last.pt.abc123_x"]
    for name in (*left, *kept):
        (tmp_path / name).touch()
    enter(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_folders_that_stay_empty_are_removed_again_and_a_file_is_named(tmp_path):
    enter(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileExistsError, match="file"):
        enter(tmp_path / "file")


def test_numbered_folders_count_up_and_a_resumed_run_stays_in_its_folder(tmp_path):
    backup = tmp_path / "backup"
    numbered = Output(numbered=True)
    assert run_folder(numbered, backup, None) == tmp_path / "backup-1"
    (tmp_path / "backup-1").mkdir()
    assert run_folder(numbered, backup, None) == tmp_path / "backup-2"
    assert run_folder(Output(), backup, Path("run/tiny_last.pt")) == Path("run")
    assert run_folder(Output(out=Path("x")), backup, Path("run/tiny_last.pt")) == Path("x")
    assert run_folder(Output(), None, None) == Path("backup")


def test_begin_from_scratch_deletes_the_old_weights_but_those_that_it_starts_from(tmp_path):
    names = ["tiny_last.pt", "tiny_last.weights", "tiny_best.pt", "tiny_best.weights"]
    for name in (*names, "other_last.pt"):
        (tmp_path / name).touch()
    remove_old_run(tmp_path, "tiny", tmp_path / "tiny_best.weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other_last.pt", "tiny_best.weights"]
