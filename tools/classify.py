"""The same as `yolo-darknet classify`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("classify")
