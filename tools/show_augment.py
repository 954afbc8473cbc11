"""The same as `yolo-darknet show_augment`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("show_augment")
