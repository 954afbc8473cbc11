"""The same as `yolo-darknet find_lr`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("find_lr")
