"""The port for reading text off pictures."""

from __future__ import annotations

from typing import Protocol

from lookalike.domain.arrays import Pixels
from lookalike.domain.images import OcrWord


class Ocr(Protocol):
    """Words with their boxes, in reading order.

    Promises (tests/contract/test_ocr.py): boxes lie inside the picture; a picture without text
    gives no words; at most `domain.images.MOST_WORDS` words come back; arguments are never
    changed; calls from several threads are safe; nothing is loaded before the first call.
    """

    @property
    def fingerprint(self) -> str:
        """What tells this reader's answers from another's."""
        ...

    @property
    def side(self) -> int:
        """The longer side that pictures are best given at, in pixels."""
        ...

    def read(self, picture: Pixels) -> tuple[OcrWord, ...]:
        """Read an upright `(height, width, 3)` uint8 RGB picture.

        Raises:
            OcrError: the engine cannot be run, or took longer than it may.
            ValueError: the picture has another shape or type.
        """
        ...
