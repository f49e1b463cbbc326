"""Erasing a part of a file: it reads as zeros, and the blocks that lie within are free again."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_PIECE: Final = 1 << 20
_CANNOT: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What a system or a file system answers that knows files without holes only."""


def erase(descriptor: int, begin: int, length: int) -> None:
    """Erase `length` bytes of an open file from `begin` on; its size stays.

    Where the file system cannot free blocks, zeros are written instead. Raises `OSError`.
    """
    if punch_hole(descriptor, begin, length):
        return
    zeros = bytes(min(length, _PIECE))
    end = begin + length
    while begin < end:
        begin += os.pwrite(descriptor, zeros[: end - begin], begin)


def disk_bytes(path: Path) -> int:
    """Return what a file takes on disk: less than its size where parts were erased, or 0."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))


def punch_hole(descriptor: int, begin: int, length: int) -> bool:
    """Give the blocks back and return True, or return False where that cannot be done."""
    call = _fallocate()
    if call is None:
        return False
    while call(descriptor, _KEEP_SIZE | _PUNCH_HOLE, begin, length) != 0:
        number = ctypes.get_errno()
        if number in _CANNOT:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


@lru_cache(maxsize=1)
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return Linux's `fallocate(2)`; Python has only the POSIX one, which frees nothing."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    return call
