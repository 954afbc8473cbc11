"""The same as `yolo-darknet convert_voc`."""

from yolo.commands.convert_voc import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
