"""The same as `yolo-darknet convert_weights`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("convert_weights")
