"""The same as `yolo-darknet summary`."""

from yolo.commands.summary import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
