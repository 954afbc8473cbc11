"""The same as `yolo-darknet convert_weights`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("convert_weights")
