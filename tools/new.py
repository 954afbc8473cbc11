"""The same as `yolo-darknet new`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("new")
