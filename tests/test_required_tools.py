"""tests/conftest.py: a test whose tool is missing is skipped with the line that installs it; in CI it fails."""

import sys
from pathlib import Path

import pytest

REASON = r"none of no-such-tool, nor-this is installed \(Debian: apt-get install the-package\)"


@pytest.mark.parametrize(("ci", "outcome"), [(None, pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_tool(require_tool, monkeypatch, ci, outcome):
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=REASON):
        require_tool("no-such-tool", "nor-this", package="the-package")


def test_the_first_installed_tool_is_returned(require_tool, monkeypatch):
    python = Path(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    assert require_tool("no-such-tool", python.name, package="python3") == str(python)
