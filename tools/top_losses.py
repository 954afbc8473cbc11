"""The same as `yolo-darknet top_losses`."""

from yolo.__main__ import start_command

if __name__ == "__main__":
    start_command("top_losses")
