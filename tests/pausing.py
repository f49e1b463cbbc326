"""Servers that hang for a moment, whatever becomes of the test."""

import threading
from contextlib import contextmanager

from services import run


@contextmanager
def paused(name, *, longest_s=4.0):
    """Pause a server; it goes on when the block ends, or after so long at the latest."""
    rescue = threading.Timer(longest_s, run.resume, [name])
    run.pause(name)
    rescue.start()
    try:
        yield
    finally:
        rescue.cancel()
        run.resume(name)
