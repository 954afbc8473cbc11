"""The same as `yolo-darknet export`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("export")
