"""The same as `yolo-darknet score_voc`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("score_voc")
