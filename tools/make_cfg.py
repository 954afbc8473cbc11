"""The same as `yolo-darknet make_cfg`."""

from yolo.commands.make_cfg import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
