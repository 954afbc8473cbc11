"""The same as `yolo-darknet compare`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("compare")
