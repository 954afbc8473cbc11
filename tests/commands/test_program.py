"""yolo-darknet, python -m yolo and tools/X.py: they start the same commands, list all of them, and print --help
quickly."""

import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from yolo import __version__
from yolo.__main__ import NAMES, main, start_command

SLOW_TO_IMPORT = {"torch", "torchvision", "cv2", "numpy", "matplotlib", "tqdm", "pycocotools"}


@pytest.fixture
def program(monkeypatch, capsys):
    """program("train", "--cfg", ...) → exit code, stdout, stderr of yolo-darknet."""

    def call(*arguments, started_as="/usr/bin/yolo-darknet"):
        monkeypatch.setattr(sys, "argv", [started_as, *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def imported_by(*command):
    """Names of the modules that a Python process of its own imports, and its stdout."""
    done = subprocess.run([sys.executable, "-X", "importtime", *command], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}, done.stdout


def test_every_module_and_every_shim_is_a_listed_command():
    modules = {path.stem for path in PROJECT.glob("yolo/commands/*.py")} - {"__init__"}
    assert sorted(NAMES) == sorted(modules)
    assert {path.stem for path in PROJECT.glob("tools/*.py")} == modules
    for name in NAMES:
        shim = (PROJECT / f"tools/{name}.py").read_text()
        assert re.findall("^from .*|^import .*", shim, re.M) == ["from yolo.__main__ import start_command"]
        assert shim.endswith(f'\nif __name__ == "__main__":\n    start_command("{name}")\n')


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_an_example_and_imports_nothing_slow(name):
    imported, out = imported_by(f"tools/{name}.py", "--help")
    assert "yolo.console.run" in imported and not imported & SLOW_TO_IMPORT
    assert out.startswith(f"usage: {name}.py [-h]")
    assert re.search(rf"\n  (torchrun --nproc-per-node \d -m yolo|yolo-darknet) {name.replace('_', '[-_]')}\b", out)


@pytest.mark.parametrize("started", [main, lambda: start_command("summary")])
def test_ctrl_c_while_a_command_is_imported_is_one_line(monkeypatch, capsys, started):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo.__main__.import_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["yolo-darknet", "summary"])
    with pytest.raises(SystemExit) as stopped:
        started()
    assert stopped.value.code == 130 and capsys.readouterr() == ("", "interrupted\n")


def test_without_a_command_all_are_listed_with_one_line_each_and_nothing_slow_is_imported():
    imported, out = imported_by("-m", "yolo")
    assert not imported & SLOW_TO_IMPORT
    assert out.startswith("usage: python -m yolo COMMAND")
    for name in NAMES:
        assert len(re.findall(rf"^  {name} +\S.*\.$", out, re.M)) == 1, name


def test_importing_yolo_imports_no_torch():
    lazy = "import sys, yolo; dir(yolo); sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    subprocess.run([sys.executable, "-c", lazy], cwd=PROJECT, check=True)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_the_list(program, option):
    assert program(option) == program()
    assert program()[0] == 0


def test_the_version(program):
    assert program("--version") == (0, f"yolo-darknet {__version__}\n", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("detekt", "detect"),
        ("convert-voc", "convert_voc or convert_coco or score_voc"),
        ("zzz", "--help, which lists all commands"),
    ],
)
def test_an_unknown_command_is_one_line_with_close_names(program, name, expected):
    line = f"error: {name}: found no such command, expected {expected}\n"
    assert program(name) == (2, "", line)


@pytest.mark.parametrize(
    ("started_as", "shown"),
    [("/usr/bin/yolo-darknet", "yolo-darknet"), ("/x/yolo/__main__.py", "python -m yolo")],
)
def test_a_commands_help_shows_how_it_was_started(program, started_as, shown):
    code, out, err = program("summary", "--help", started_as=started_as)
    assert (code, err) == (0, "") and out.startswith(f"usage: {shown} summary [-h] --cfg FILE")


def test_a_command_gets_its_options_and_its_exit_code_is_returned(program, project):
    code, out, err = program("summary", "--cfg", project / "cfg/shapes.cfg")
    assert (code, err) == (0, "") and out.startswith("layer ")
    code, out, err = program("summary", "--cfg", "away.cfg")
    assert (code, out) == (2, "") and err == "error: away.cfg: No such file or directory (--cfg)\n"
