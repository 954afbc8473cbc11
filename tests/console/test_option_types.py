"""yolo.console.option_types: what an option accepts, and what it refuses."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from yolo.console.option_types import fraction, new_file, new_folder, positive, usable_device, whole_number


def refuses(convert, *texts):
    for text in texts:
        with pytest.raises(ArgumentTypeError, match="^found .*, expected "):
            convert(text)


def test_whole_numbers():
    assert whole_number(0)("0") == 0 and whole_number(-5)("-5") == -5 and whole_number(1)("+7") == 7
    refuses(whole_number(0), "-1", "1.0", "", "x", "1_0", " 1", "nan", "٣", "9" * 40)


def test_fractions():
    assert [fraction(text) for text in ("0", "1", ".25", "0.45", "1e-3", "1.")] == [
        0,
        1,
        0.25,
        0.45,
        0.001,
        1,
    ]
    assert [fraction(text) for text in ("20%", "0%", "100%", "2.5%")] == [0.2, 0, 1, 0.025]
    refuses(fraction, "101%", "%", "5 %", "-1%")
    refuses(fraction, "-0.1", "1.01", "25", "nan", "inf", "", ".", "1e3", "x")


def test_positive_numbers():
    assert [positive(text) for text in ("1e-6", "1", ".5", "2.5E+0")] == [1e-6, 1, 0.5, 2.5]
    refuses(positive, "0", "0.0", "-1", "nan", "inf", "1e", "", "1e400", "١")


def test_new_files(tmp_path):
    assert new_file(f"{tmp_path}/a.json") == tmp_path / "a.json"
    assert new_file(f"{tmp_path}/away/a.json") == tmp_path / "away" / "a.json"
    refuses(new_file, str(tmp_path))


def test_a_folder_to_write_to_is_no_file_and_in_none(tmp_path, capsys):
    assert new_folder(f"{tmp_path}/a/b") == tmp_path / "a" / "b" and new_folder(str(tmp_path)) == tmp_path
    assert new_folder("") == Path() and new_file("-") == Path("-")
    (tmp_path / "x.png").touch()
    for convert, text in ((new_folder, "x.png"), (new_folder, "x.png/a/b"), (new_file, "x.png/a.json")):
        with pytest.raises(SystemExit) as stop:
            convert(f"{tmp_path}/{text}")
        assert stop.value.code == 2
        assert capsys.readouterr().err == f"error: {tmp_path}/x.png: found a file, expected a folder to write to\n"


def test_devices():
    assert usable_device("cpu") == "cpu"
    refuses(usable_device, "", "gpu", "cuda:99", "meta", "-1", "cpu cpu")
