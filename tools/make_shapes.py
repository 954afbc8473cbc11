"""The same as `yolo-darknet make_shapes`."""

from yolo.commands.make_shapes import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
