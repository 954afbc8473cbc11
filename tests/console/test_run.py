"""yolo.console.run: the one line and the exit code of every error."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from yolo.console.run import folder_for_file, missing_file, run
from yolo.errors import CfgError, DatasetError, DivergedError, WeightsError


def code_of(main):
    with pytest.raises(SystemExit) as stop:
        run(main)
    return stop.value.code


@pytest.mark.parametrize("kind", [CfgError, WeightsError, DatasetError, DivergedError])
def test_a_users_mistake_is_one_line_and_exit_code_2(capsys, kind):
    def main():
        raise kind("a.cfg:3: found x, expected y")

    assert code_of(main) == 2
    assert capsys.readouterr() == ("", "error: a.cfg:3: found x, expected y\n")


def test_what_the_system_refuses_is_named_with_its_file(capsys):
    assert code_of(Path("/away/from/here").read_bytes) == 2
    message = "/away/from/here: No such file or directory; the folder /away/from is not there either"
    assert capsys.readouterr().err == f"error: {message}\n"


def test_links_that_lead_to_each_other_are_one_line(tmp_path, capsys):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert code_of(lambda: (tmp_path / "a").resolve().read_bytes()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path) in error


def test_a_missing_file_is_named_with_its_option_and_similar_names(tmp_path):
    (tmp_path / "valid.txt").touch()
    name = str(tmp_path / "vaild.txt")
    line = f"{name}: No such file or directory (--imageset); did you mean {tmp_path}/valid.txt?"
    assert missing_file(name, ["score", "--imageset", name]) == line
    assert missing_file(name, ["score", name]) == line.replace(" (--imageset)", "")
    assert missing_file("zzzzzz.zzz", ["score", "--names", "x"]) == "zzzzzz.zzz: No such file or directory"
    backslash = "; a backslash does not separate folders here, expected /"
    assert missing_file("data\\x.txt", []) == f"data\\x.txt: No such file or directory{backslash}"


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_ctrl_c_is_exit_code_130(capsys):
    def main():
        raise KeyboardInterrupt

    assert code_of(main) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    program = "from yolo.console.run import run; run(lambda: print('x' * 2**20))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_a_file_name_that_the_file_system_cannot_hold_is_one_line(capsys, monkeypatch):
    # what LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 does: names of files are ASCII
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    assert code_of(lambda: "猫.jpg".encode("ascii")) == 2
    expected = "error: found the file name '猫.jpg', which this Python writes as ascii, expected PYTHONUTF8=1\n"
    assert capsys.readouterr().err == expected
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "utf-8")
    assert code_of(lambda: "\udcff.jpg".encode()) == 2
    assert "whose bytes are not UTF-8, expected UTF-8 for" in capsys.readouterr().err
    with pytest.raises(UnicodeEncodeError):  # a mistake in the program
        run(lambda: "猫".encode("cp1252"))


def test_what_is_unusual_about_a_file_is_said_once_in_a_command(caplog):
    def main():
        for text in ("a.data:3: names: read as b", "a.data:3: names: read as b", "c.txt: found UTF-16"):
            logging.getLogger("yolo.cfg").warning(text)
            logging.getLogger("yolo.detect.sources.streams").warning("the stream ended")

    for _ in range(2):  # a second command says it again
        caplog.clear()
        run(main)
        assert caplog.messages.count("a.data:3: names: read as b") == caplog.messages.count("c.txt: found UTF-16") == 1
        assert caplog.messages.count("the stream ended") == 3


def test_a_folder_in_the_place_of_a_file_names_the_files_in_it(tmp_path):
    (tmp_path / "old.cfg").touch()
    folder = str(tmp_path)
    expected = f"{folder}: Is a directory (--cfg), expected a .cfg file, such as {tmp_path / 'old.cfg'}"
    assert folder_for_file(folder, ["detect", "--cfg", folder]) == expected
    assert folder_for_file(folder, ["detect", "--data", folder]).endswith("(--data), expected a .data file")
    assert folder_for_file(folder, ["detect", folder]) == f"{folder}: Is a directory"
