"""The same as `yolo-darknet split`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("split")
