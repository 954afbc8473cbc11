"""The same as `yolo-darknet find_lr`."""

from yolo.commands.find_lr import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
