"""The same as `yolo-darknet score_voc`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("score_voc")
