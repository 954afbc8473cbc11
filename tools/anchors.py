"""The same as `yolo-darknet anchors`."""

from yolo.__main__ import start

if __name__ == "__main__":
    start("anchors")
