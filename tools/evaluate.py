"""The same as `yolo-darknet evaluate`."""

from yolo.commands.evaluate import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
