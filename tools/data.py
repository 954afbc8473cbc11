"""The same as `yolo-darknet data`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("data")
