"""Where a path leads."""

import os


def file_state(path: str) -> os.stat_result | None:
    """Return the state of a file or folder; None if it is not there or its name cannot be one."""
    try:
        return os.stat(path)
    except (OSError, ValueError):  # missing, too long, or with a zero byte
        return None
