"""The same as `yolo-darknet detect`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("detect")
