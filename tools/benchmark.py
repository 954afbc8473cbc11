"""The same as `yolo-darknet benchmark`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("benchmark")
