"""The same as `yolo-darknet compare`."""

from yolo.commands.compare import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
