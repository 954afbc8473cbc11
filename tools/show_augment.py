"""The same as `yolo-darknet show_augment`."""

from yolo.commands.show_augment import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
