"""The same as `yolo-darknet support_table`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("support_table")
