"""The same as `yolo-darknet evaluate`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("evaluate")
