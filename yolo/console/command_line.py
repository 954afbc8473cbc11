"""The command line as a whole: its parser, its order, its text."""

import re
import shlex
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

# Options that take several values, with a pattern of a value; an argument without this form is a file
SEVERAL_VALUES = {"--layers": "[0-9]+", "--cam-layer": "[0-9]+", "--set": "[^=]+=.*"}


def command_line() -> str:
    """Return the command line of this process, as it can be typed into a shell."""
    program, *options = sys.argv
    if Path(program).exists():  # else it is two words, such as `yolo-darknet evaluate`
        program = shlex.quote(program)
    return " ".join([program, shlex.join(options)]).rstrip()


def command_parser(description: str | None) -> ArgumentParser:
    """Return the parser of a command. description: its module's docstring, which ends with an example."""
    return ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)


def files_first(arguments: Sequence[str]) -> list[str]:
    """Return a command line with the files that follow an option of SEVERAL_VALUES, such as `--layers 36 61 dog.jpg`,
    at its start: argparse would take them for more values of the option."""
    files: list[str] = []
    others: list[str] = []
    pattern, values = None, 0
    for at, word in enumerate(arguments):
        if word == "--":
            return files + others + list(arguments[at:])
        if word.startswith("-") and word != "-":
            pattern, values = SEVERAL_VALUES.get(word), 0
        elif pattern is not None:
            if values and not re.fullmatch(pattern, word):
                files.append(word)
                continue
            values += 1
        others.append(word)
    first = next((at for at, word in enumerate(others) if word.startswith("-")), len(others))
    return others[:first] + files + others[first:]
