"""Real cfgs, broken at random: each still builds a network or raises CfgError, in 2 seconds and 1 GB.

`pytest -m slow` does it forty times as often.
"""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import PROJECT
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.network import build
from yolo.support.table import EXAMPLES, IMAGE

# Of the processor in our own code: machines are shared, and virtual ones take up to seconds to hand out a fresh GB.
MOST_SECONDS = 2.0
MOST_BYTES = 2**30
EXAMPLES_BY_DEFAULT, EXAMPLES_WHEN_SLOW = 500, 20_000
CFGS = PROJECT / "cfg"
NUMBERS = (
    "0", "-1", "-0", "1", "2", "3", "7", "0.5", "1e3", "65536", "2147483647", "2147483648", "-2147483648",
    "99999999999999999999", "1e308", "1e999", "-1e999", "nan", "inf", "-inf", "", " ", "#", "1,", ",", "1,2,3", "=",
    "0x10", "1_000", "\u0663", "a", "9" * 5000,
)  # fmt: skip
LONG = 10 * 2**20  # characters of a line


REAL = [
    (CFGS / f"{name}.cfg").read_text().splitlines()
    for name in ("shapes", "yolov3-tiny", "yolov4-tiny", "yolov7-tiny", "yolov2-tiny", "darknet19")
]
SMALL = [(IMAGE + text).splitlines() for text in EXAMPLES.values()]  # one of every kind
ANY = st.one_of(st.sampled_from(REAL), st.sampled_from(SMALL))
POSITION = st.floats(0, 1, exclude_max=True)


@st.composite
def mutations(draw):
    """A cfg's text with one to five things wrong."""
    lines = list(draw(ANY))
    for _ in range(draw(st.integers(1, 5))):
        if not lines:
            break
        here, there = (int(draw(POSITION) * len(lines)) for _ in range(2))
        match draw(st.sampled_from(("drop", "repeat", "swap", "number", "character", "key", "other"))):
            case "drop":
                del lines[here]
            case "repeat":
                lines.insert(there, lines[here])
            case "swap":
                lines[here], lines[there] = lines[there], lines[here]
            case "number":
                lines[here] = f"{lines[here].partition('=')[0]}={draw(st.sampled_from(NUMBERS))}"
            case "character":
                place = int(draw(POSITION) * (len(lines[here]) + 1))
                lines[here] = lines[here][:place] + draw(st.characters()) + lines[here][place + 1 :]
            case "key":
                index = draw(st.integers(-400, 400))
                lines.insert(here, f"{draw(st.sampled_from(('from', 'layers', 'share_index')))}={index}")
            case "other":
                lines.insert(here, draw(st.sampled_from(draw(ANY))))
    return "\n".join(lines)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """Keys that nothing reads are many, and no matter here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def memory_peak() -> int:
    """Largest resident size since `forget_peak`, in bytes; 0 where the system does not report it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak() -> int:
    """Reset the peak of the resident size; returns it."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # man proc: resets the peak
    return memory_peak()


def builds_or_gives_the_reason(text: str) -> bool:
    """Whether the text builds. Fails for any other error, and for too much time or memory."""
    memory, start = forget_peak(), os.times().user
    try:
        build(parse_cfg(text, "mutant.cfg"))
        built = True
    except CfgError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        assert str(error).startswith("mutant.cfg:")
        built = False
    assert os.times().user - start <= MOST_SECONDS
    assert memory_peak() - memory <= MOST_BYTES
    return built


relaxed = settings(
    deadline=None,
    max_examples=EXAMPLES_BY_DEFAULT,
    suppress_health_check=list(HealthCheck),
    database=None,
)


@relaxed
@given(mutations())
def test_a_broken_cfg_builds_or_raises_cfg_error(text):
    builds_or_gives_the_reason(text)


@pytest.mark.slow
@settings(relaxed, max_examples=EXAMPLES_WHEN_SLOW)
@given(mutations())
def test_many_broken_cfgs_build_or_say_why(text):
    builds_or_gives_the_reason(text)


@pytest.mark.parametrize("lines", REAL + SMALL, ids=lambda lines: lines[-1][:20])
def test_the_cfgs_build_before_they_are_broken(lines):
    assert builds_or_gives_the_reason("\n".join(lines))


NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"


@pytest.mark.parametrize(
    "text",
    [
        NET + "[activation]\n[route]\nlayers=1\n[route]\nlayers=0\n[route]\nlayers=4\n[activation]\n",  # a cycle
        NET + "[route]\nlayers=0\n",  # itself
        NET + "[shortcut]\nfrom=-1\n",
        NET + "[convolutional]\nshare_index=0\n",
        "[net]\nwidth=" + "9" * LONG,
        "[net]\n" + "w" * LONG + "=1",
        "[" + "n" * LONG + "]",
        NET + "[route]\nlayers=" + "0," * (LONG // 2) + "0",
        NET + "[yolo]\nanchors=" + "1," * (LONG // 2) + "1",
        NET + "[yolo]\nnum=2147483647\n",
        NET + "[region]\nnum=2147483647\nclasses=2147483647\n",
        NET + "[convolutional]\nfilters=1\nsize=2147483647\npad=1\n",
        NET + "[convolutional]\nfilters=200000000\n",
        NET + "[convolutional]\nfilters=2147483647\nantialiasing=1\nxnor=1\n",
        NET + "[connected]\noutput=2147483647\n",
        NET + "[local]\nfilters=2147483647\n",
        NET + "[lrn]\nsize=2147483647\n",
        NET + "[upsample]\nstride=2147483647\n",
        NET + "[detection]\nside=2147483647\ncoords=4\n",
        NET + "[route]\nlayers=-1,-1\n" * 100,  # doubles every time
        NET + "[activation]\n" + "[route]\nlayers=-1,-1\n" * 100,
        NET + "[dropout]\n" * 99_000,
        NET + "[activation]\nactivation=leaky\n" * 4_096,
        NET + "[batchnorm]\n" * 4_097,
        NET + "a=1\n" * 99_000,
        NET + "a=1\n" * 1_000_000,
        "=\n" * 500_000,
        "#" * LONG,
        " " * LONG,
        "",
        "\0",
        "[net]",
        "[net]\n[net]\n",
        "[]\n",
    ],
    ids=lambda text: repr(text[-40:]),
)  # fmt: skip
def test_hostile_cfgs_build_or_say_why(text):
    builds_or_gives_the_reason(text)


@pytest.mark.parametrize("outputs", [12_000, 32_000])  # the most that is drawn at random, the most of all
def test_the_largest_networks_are_built_in_time_and_memory(outputs):
    assert builds_or_gives_the_reason(NET + f"[connected]\noutput={outputs}\n")
