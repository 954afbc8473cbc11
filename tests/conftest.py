"""Fixtures that every test file may use."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.helpers.browser import BROWSERS
from yolo.console.run import run

PROJECT = Path(__file__).resolve().parent.parent
BROWSER_PATIENCE = 120  # seconds; it takes two on a quiet machine


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test's random weights are the same, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the project: golden numbers, real models, data sets."""
    folder = PROJECT.parent / "shared"
    if not (folder / "darknet_golden").is_dir():
        pytest.skip("the reference material ../shared is not here")
    return folder


@pytest.fixture(scope="session")
def require_tool():
    """require_tool("chromium", "google-chrome", package="chromium") → path of the first program that is installed.

    Without one the test is skipped; in CI, where .ci/run installs the tools, it fails.
    """

    def require(*programs, package):
        path = next(filter(None, map(shutil.which, programs)), None)
        if path is None:
            reason = f"none of {', '.join(programs)} is installed (Debian: apt-get install {package})"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return require


@pytest.fixture
def opened(tmp_path, require_tool):
    """opened(path) → the parsed DOM of a page in headless Chromium after its script ran, and its console's lines."""
    from tests.helpers.report_pages import ParsedPage

    browser = require_tool(*BROWSERS, package="chromium")

    def run_browser(path):
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
             f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=BROWSER_PATIENCE, check=True,
        )  # fmt: skip
        return ParsedPage(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run_browser


@pytest.fixture
def four(tmp_path: Path):  # -> tiny_data.DrawnSet
    """Four drawn images with six boxes of two classes, as a Darknet data set on disk."""
    from tests.helpers import tiny_data  # here, as it imports torch, which not every test needs

    return tiny_data.write_set(tmp_path / "four", tiny_data.FOUR_IMAGES)


@pytest.fixture
def load_tool():
    """load_tool("train") → the module yolo.commands.train."""
    return lambda name: import_module(f"yolo.commands.{name}")


@pytest.fixture
def call_tool(monkeypatch, capsys):
    """call_tool(module, "--cfg", ...) → exit code, stdout, stderr, as the command gives them."""

    def call(module, *arguments):
        monkeypatch.setattr(sys, "argv", [Path(module.__file__).name, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            run(module.main)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call
