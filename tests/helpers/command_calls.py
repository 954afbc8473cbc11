"""Calls of commands on a tiny data set: options that fit the fixture `case`, and what a mistake looks like."""

import re
import subprocess
import sys

MODEL = ("--cfg", "tiny.cfg", "--weights", "tiny.weights")
CPU = ("--device", "cpu")
DATA = ("--data", "four/tiny.data")
TRAIN = ("--cfg", "tiny.cfg", *DATA, "--out", "run", "--workers", 0, *CPU)
EVALUATE = (*MODEL, *DATA, "--workers", 0, *CPU)
DETECT = (*MODEL, "--names", "four/tiny.names", *CPU)


def one_line(result, match):
    """The command exits with 2 and prints one line that matches."""
    code, _, err = result
    assert code == 2, result
    assert err.count("\n") == 1 and re.search(f"^error: .*{match}", err), err


def bad_option(result, match):
    """argparse prints the usage first, then one line that matches."""
    code, _, err = result
    assert code == 2, result
    assert re.search(f"error: argument .*{match}", err.splitlines()[-1]), err
    assert "Traceback" not in err


def process(*command, cwd):
    """stdout, stderr, exit code of a Python process of its own."""
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True)
    return done.stdout, done.stderr, done.returncode
