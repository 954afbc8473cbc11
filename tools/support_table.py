"""The same as `yolo-darknet support_table`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("support_table")
