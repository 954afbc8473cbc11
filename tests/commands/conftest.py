"""Fixtures of the tests of commands. A test file may define its own of the same name."""

import pytest

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.model.weights import save_weights


@pytest.fixture
def call(load_tool, call_tool):
    """call("train", "--cfg", ...) → exit code, stdout, stderr of a command, which runs in this process."""
    return lambda tool, *arguments: call_tool(load_tool(tool), *arguments)


@pytest.fixture
def case(four, tmp_path, monkeypatch):
    """The current folder: tiny.cfg, tiny.weights and the drawn data set in four/."""
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path
