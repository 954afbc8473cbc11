"""yolo.console.safe_stream: untrusted text cannot control the terminal."""

import io
import logging
import sys

import pytest

from yolo.console.run import run, stop
from yolo.console.safe_stream import safe_output
from yolo.errors import DatasetError

# a title, a cleared screen, turned letters, C1, no width, another end of a line
HOSTILE = "a\x1b]0;title\x07\x1b[2J\u202egpj.b\x9b31m\u200b\u2028\r"
SHOWN = r"a\x1b]0;title\x07\x1b[2J\u202egpj.b\x9b31m\u200b\u2028\r"


def test_control_characters_of_strangers_are_printed_as_escapes(capsys):
    def main():
        print(HOSTILE)
        logging.getLogger("yolo.test").warning("%s", HOSTILE[:-1])
        raise DatasetError(HOSTILE + "\nsecond line")

    with pytest.raises(SystemExit):
        run(main)
    out, err = capsys.readouterr()
    assert out == SHOWN + "\n"
    assert err.endswith(f"error: {SHOWN}\\nsecond line\n")


def test_joiners_of_words_and_emoji_stay(capsys):
    run(lambda: print("می\u200cخواهم 👨\u200d👩\u200d👧"))
    assert capsys.readouterr().out == "می\u200cخواهم 👨\u200d👩\u200d👧\n"


def test_a_progress_line_can_be_overwritten(capsys):
    with safe_output():
        print("\r\x1b[Kstep 1 \x1b[31m\x07", end="\x1b[A", file=sys.stderr)
    assert capsys.readouterr().err == r"\x1b[31m\x07".join(("\r\x1b[Kstep 1 ", "\x1b[A"))


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_the_null_device(monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)  # as Python has it after `>&-`
    run(lambda: print(sys.stdin.buffer.read() if closed == "stdin" else "text"))
    with pytest.raises(SystemExit) as error:
        run(lambda: stop("a mistake"))
    assert error.value.code == 2


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
