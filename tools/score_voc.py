"""The same as `yolo-darknet score_voc`."""

from yolo.commands.score_voc import main
from yolo.console import run

if __name__ == "__main__":
    run(main)
