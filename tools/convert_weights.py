"""The same as `yolo-darknet convert_weights`."""

from yolo.commands.convert_weights import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
