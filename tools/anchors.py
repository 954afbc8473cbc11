"""The same as `yolo-darknet anchors`."""

from yolo.commands.anchors import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
