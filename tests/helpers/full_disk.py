"""Simulate a full disk: no file of this process may grow beyond a number of bytes."""

import resource
from contextlib import contextmanager


@contextmanager
def full_beyond(size: int):
    """Inside the block, writing beyond `size` bytes of any file raises OSError, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
