"""The same as `yolo-darknet convert_voc`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("convert_voc")
