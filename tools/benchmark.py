"""The same as `yolo-darknet benchmark`."""

from yolo.commands.benchmark import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
