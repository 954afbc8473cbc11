"""A disk with little room, as this process sees it."""

import resource
from contextlib import contextmanager


@contextmanager
def room_for(count):
    """Files of this process grow to `count` bytes; more is EFBIG, which comes where ENOSPC of a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
