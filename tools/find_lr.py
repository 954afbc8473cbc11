"""The same as `yolo-darknet find_lr`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("find_lr")
