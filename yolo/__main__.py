"""`yolo-darknet COMMAND` and `python -m yolo COMMAND`: start a command, or list all of them."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from yolo import __version__

COMMANDS = {  # group → names of modules in yolo/commands
    "data sets": (
        "convert_voc",
        "convert_coco",
        "split",
        "make_cfg",
        "make_shapes",
        "anchors",
        "show_augment",
        "data",
    ),
    "training": ("new", "train", "find_lr"),
    "use": ("detect", "classify", "explain", "serve"),
    "scores": ("evaluate", "compare", "score", "score_voc", "top_losses"),
    "networks": ("export", "summary", "benchmark", "convert_weights", "support_table"),
}
OTHER_SPELLINGS = {"top-losses": "top_losses"}
NAMES = [name for names in COMMANDS.values() for name in names]


def main() -> None:
    """Start the program; the console script `yolo-darknet` calls this."""
    _run(_start)


def start_command(command: str) -> None:
    """Start one command with the options of this process, as tools/COMMAND.py does."""
    _run(lambda: import_module(f"yolo.commands.{command}").main())


def _run(program: Callable[[], None]) -> None:
    try:
        from yolo.console.run import run

        run(program)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # yolo.console.run.EXIT_INTERRUPTED


def _start() -> None:
    program = _program()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = OTHER_SPELLINGS.get(name, name)
    if name in ("-h", "--help"):
        print(_overview(program))
    elif name == "--version":
        print(f"yolo-darknet {__version__}")
    elif name in NAMES:
        sys.argv = [f"{program} {name}", *sys.argv[2:]]  # argparse shows the first as the program
        import_module(f"yolo.commands.{name}").main()
    else:
        close = get_close_matches(name, NAMES) or ["--help, which lists all commands"]
        from yolo.console.run import stop

        stop(f"{name}: found no such command, expected {' or '.join(close)}")


def _program() -> str:
    """Return how this program was started: `yolo-darknet` or `python -m yolo`."""
    script = Path(sys.argv[0])
    return "python -m yolo" if script.name == "__main__.py" else script.name


def _overview(program: str) -> str:
    """Return all commands by group, each with the first line of its module's docstring."""
    lines = [f"usage: {program} COMMAND [options]", f"       {program} COMMAND --help", ""]
    lines += ["Darknet models in PyTorch: train, score and run them.", ""]
    width = max(map(len, NAMES))
    for group, names in COMMANDS.items():
        lines.append(f"{group}:")
        for name in names:
            description = import_module(f"yolo.commands.{name}").__doc__.splitlines()[0]
            lines.append(f"  {name:{width}}  {description}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
