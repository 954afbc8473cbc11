"""The same as `yolo-darknet make_cfg`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("make_cfg")
