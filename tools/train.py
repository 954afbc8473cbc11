"""The same as `yolo-darknet train`."""

from yolo.commands.train import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
