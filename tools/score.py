"""The same as `yolo-darknet score`."""

from yolo.commands.score import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
