"""The same as `yolo-darknet summary`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("summary")
