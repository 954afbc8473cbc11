"""The same as `yolo-darknet new`."""

from yolo.commands.new import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
