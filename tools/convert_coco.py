"""The same as `yolo-darknet convert_coco`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("convert_coco")
