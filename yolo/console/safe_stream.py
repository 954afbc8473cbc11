"""Print untrusted text on a terminal: control characters become escapes."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

# Control characters but tab and line feed; marks of the direction of writing (Unicode UAX 9); other ends of lines; what
# has no width, so that two names look the same, but for the joiners of Persian words and emoji (U+200C, U+200D)
UNSAFE_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
PROGRESS_CONTROLS = re.compile(r"(\r|\x1b\[[AK])")  # to overwrite a line: of tqdm and of training's progress


class SafeStream:
    """A text stream for a terminal: control characters, which untrusted files and names may hold, become escapes.

    So are letters that the terminal's encoding lacks. Line ends, tabs and `kept` are written as they are.
    """

    def __init__(self, stream: TextIO, kept: re.Pattern[str] | None = None) -> None:
        self._stream = stream
        self._kept = kept
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        if UNSAFE_TEXT.search(text):
            parts = self._kept.split(text) if self._kept else [text]
            parts[::2] = map(_escaped, parts[::2])  # the others are kept
            text = "".join(parts)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _escaped(text: str) -> str:
    """Return `text` with the characters of UNSAFE_TEXT as escapes."""
    return UNSAFE_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@contextmanager
def safe_output() -> Iterator[None]:
    """Make sys.stdout and sys.stderr `SafeStream`s, so that all untrusted text is printed through them.

    Standard streams that are closed (`>&-`, or a service without a terminal) become the null device.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open(os.devnull, mode, encoding="utf-8")) if stream is None else stream
            for stream, mode in zip(before, "rww", strict=True)
        ]
        sys.stdin, sys.stdout, sys.stderr = opened[0], SafeStream(opened[1]), SafeStream(opened[2], PROGRESS_CONTROLS)
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
