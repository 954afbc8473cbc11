"""The same as `yolo-darknet convert_coco`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("convert_coco")
