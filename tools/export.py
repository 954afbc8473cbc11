"""The same as `yolo-darknet export`."""

from yolo.commands.export import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
