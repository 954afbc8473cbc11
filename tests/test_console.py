"""yolo.console: the one line and the exit code of whatever goes wrong, and options that are checked."""

import io
import logging
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from yolo.console import (
    files_first,
    fraction,
    missing_file,
    new_file,
    new_folder,
    positive,
    run,
    safe_output,
    usable_device,
    whole_number,
)
from yolo.errors import CfgError, DatasetError, DivergedError, WeightsError
from yolo.extras import import_extra


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
    program = "from yolo.console import run; run(lambda: print('x' * 2**20))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


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
        assert code_of(lambda convert=convert, text=text: convert(f"{tmp_path}/{text}")) == 2
        assert capsys.readouterr().err == f"error: {tmp_path}/x.png: found a file, expected a folder to write to\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--layers 36 61 a.png b.png --report d", "a.png b.png --layers 36 61 --report d"),
        ("a.png --layers 36 b.png --report d", "a.png b.png --layers 36 --report d"),
        ("--set width=320 height=320 a.png --cfg c", "a.png --set width=320 height=320 --cfg c"),
        ("--set width=320 0", "0 --set width=320"),  # a camera
        ("--layers a.png 3", "--layers a.png 3"),  # no value: argparse says so
        ("--cfg c a.png", "--cfg c a.png"),
        ("--layers 3 -- 4", "--layers 3 -- 4"),
        ("--set width=320 -", "- --set width=320"),
    ],
)
def test_files_after_the_values_of_an_option_are_not_its_values(line, expected):
    assert files_first(line.split()) == expected.split()


def test_devices():
    assert usable_device("cpu") == "cpu"
    refuses(usable_device, "", "gpu", "cuda:99", "meta", "-1", "cpu cpu")


HOSTILE = "a\x1b]0;title\x07\x1b[2J\u202egpj.b\x9b31m\r"  # a title, a cleared screen, turned letters, C1
SHOWN = r"a\x1b]0;title\x07\x1b[2J\u202egpj.b\x9b31m\r"


def test_control_characters_of_strangers_are_printed_as_escapes(capsys):
    def main():
        print(HOSTILE)
        logging.getLogger("yolo.test").warning("%s", HOSTILE[:-1])
        raise DatasetError(HOSTILE + "\nsecond line")

    assert code_of(main) == 2
    out, err = capsys.readouterr()
    assert out == SHOWN + "\n"
    assert err.endswith(f"error: {SHOWN}\\nsecond line\n")


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


def test_a_progress_line_can_be_overwritten(capsys):
    with safe_output():
        print("\r\x1b[Kstep 1 \x1b[31m\x07", end="\x1b[A", file=sys.stderr)
    assert capsys.readouterr().err == r"\x1b[31m\x07".join(("\r\x1b[Kstep 1 ", "\x1b[A"))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_letters_that_a_terminal_lacks_are_printed_as_escapes(monkeypatch, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    run(lambda: print("猫 größe \udce4.jpg"))
    terminal.flush()
    shown = {
        "ascii": rb"\u732b gr\xf6\xdfe \udce4.jpg",
        "cp1252": b"\\u732b gr\xf6\xdfe \\udce4.jpg",
        "utf-8": "猫 größe ".encode() + rb"\udce4.jpg",
    }
    assert terminal.buffer.getvalue().rstrip() == shown[encoding]


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


def test_openvino_reports_nothing_to_its_makers(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    import_extra("json", "serve", "a test")
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
