"""The same as `yolo-darknet classify`."""

from yolo.commands.classify import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
