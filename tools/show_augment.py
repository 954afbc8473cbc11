"""The same as `yolo-darknet show_augment`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("show_augment")
