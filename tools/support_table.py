"""The same as `yolo-darknet support_table`."""

from yolo.commands.support_table import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
