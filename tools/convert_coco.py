"""The same as `yolo-darknet convert_coco`."""

from yolo.commands.convert_coco import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
