"""The same as `yolo-darknet convert_voc`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("convert_voc")
