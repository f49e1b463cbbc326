"""What the engine and its decoder processes say to each other.

Messages cross as pickles on pipes that are private to this program and its own children;
nothing that a picture contains is ever unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.domain.arrays import Pixels
    from lookalike.domain.bundle import Preprocess
    from lookalike.domain.errors import ImageError
    from lookalike.domain.queries import Region
    from lookalike.imaging.examine import Examined, ExaminePlan


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One picture to examine; `path` (file system bytes) is read by the worker, or `data` is given.

    With `plan` the answer is an `Examined`; with `preprocess` only the pixels of a query.
    """

    path: bytes = b""
    data: bytes = b""
    plan: ExaminePlan | None = None
    preprocess: Preprocess | None = None
    region: Region | None = None
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DecodeAnswer:
    """What came of a job: exactly one of the first three is set."""

    examined: Examined | None = None
    pixels: Pixels | None = None
    error: ImageError | None = None
    cpu_s: float = 0.0
