"""The same as `yolo-darknet make_shapes`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("make_shapes")
