"""The same as `yolo-darknet split`."""

from yolo.commands.split import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
