"""The same as `yolo-darknet train`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("train")
