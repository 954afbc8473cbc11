"""The wheel holds the commands, the cfgs and the names, and works outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.tiny_data import draw, write_image
from yolo.model.network import Network
from yolo.model.weights import save_weights
from yolo.named_files import shipped_files

FOLDERS = ("yolo", "cfg", "data", "weights")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


def run(*command, cwd):
    """Return the stdout of a process that does not see the checkout and has to succeed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(project, tmp_path_factory):
    """A folder outside the checkout; in its virtual environment env/ the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy, because building writes beside the sources
    for name in FOLDERS:
        shutil.copytree(project / name, source / name)
    for name in FILES:
        shutil.copy(project / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", source, "--no-deps", "--no-build-isolation", "-w", folder, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # torch and the others come from this environment; a folder in a .pth file is searched last
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_package_and_what_it_ships_come_from_the_wheel(project, installed):
    program = "import yolo.named_files as s; print(s.PACKAGE, *(len(s.shipped_files(e)) for e in s.HOMES))"
    found, cfgs, names = run("env/bin/python", "-c", program, cwd=installed).split()
    assert found.startswith(f"{installed}/env/lib/")
    for path in (project / "yolo").rglob("*.*"):  # templates and style sheets too
        inside = path.relative_to(project / "yolo")
        assert path.suffix == ".pyc" or (Path(found) / inside).is_file(), inside
    assert int(cfgs) == len(list(project.glob("cfg/*.cfg"))) > 0
    assert int(names) == len(list(project.glob("data/*.names"))) > 0


def test_a_shipped_cfg_and_names_are_found_by_their_names(installed):
    save_weights(Network.from_cfg(shipped_files(".cfg")["yolov3-tiny"]), installed / "w.weights")
    write_image(installed / "image.png", draw([(10, 10, 40, 40, 0)]))
    model = ("--cfg", "yolov3-tiny", "--weights", "w.weights", "--names", "coco")
    options = ("--set", "width=64", "height=64", "--thresh", 0.1, "--device", "cpu")
    command = ("env/bin/yolo-darknet", "detect", *model, *options, "image.png", "--out", "out")
    out = run(*command, cwd=installed)
    assert re.search(r"^image.png: [1-9]\d* objects?\n  \w.* \d+%  -?\d+ ", out)
    assert (installed / "out/image.png").is_file()
