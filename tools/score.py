"""The same as `yolo-darknet score`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("score")
