"""The same as `yolo-darknet detect`."""

from yolo.commands.detect import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
