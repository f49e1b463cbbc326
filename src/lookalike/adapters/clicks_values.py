"""How a click log keeps an answer in one field, and for how long."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Final

from lookalike.domain.clicks import DAY_S, Session, Shown, session_json, session_of
from lookalike.domain.errors import ClickError

MOST_BYTES: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class ClickBounds:
    """How long answers are kept, and how many at most."""

    days: int = 90
    most_answers: int = 100_000

    @property
    def seconds(self) -> float:
        """For how many seconds an answer is kept."""
        return self.days * DAY_S


def pack_answer(shown: Shown) -> bytes:
    """Return an answer as bytes."""
    return zlib.compress(json.dumps(session_json(Session(shown)), allow_nan=False).encode(), 3)


def unpack_answer(data: bytes) -> Shown:
    """Read an answer back.

    Raises:
        ClickError: the bytes hold none.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MOST_BYTES)
        return session_of(json.loads(text)).shown
    except (zlib.error, ValueError, RecursionError) as error:
        raise ClickError(f"a logged answer is damaged: {error}") from error
