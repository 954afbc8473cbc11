"""The same as `yolo-darknet make_shapes`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("make_shapes")
