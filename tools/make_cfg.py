"""The same as `yolo-darknet make_cfg`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("make_cfg")
