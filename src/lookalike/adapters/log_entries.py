"""What every ingest log does to messages: keys as bytes, bounds, texts that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import MessageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.ports.ingest_log import Entry

MOST_KEY_BYTES: Final = 32 << 10
MOST_REASON: Final = 200
MOST_DETAIL: Final = 2000
"""Characters of a rejection's detail that are kept."""


def check_sizes(entries: Sequence[Entry], most_bytes: int) -> None:
    """Look at messages before any of them is appended.

    Raises:
        MessageTooLargeError: one is over the bound.
    """
    for entry in entries:
        if len(entry.value) > most_bytes:
            raise MessageTooLargeError(
                f"a message of {len(entry.value)} bytes is over the bound of {most_bytes}",
                hint="shorten the texts of the source",
            )
        if len(pack_key(entry.key)) > MOST_KEY_BYTES:
            raise MessageTooLargeError(
                f"a message's key is longer than {MOST_KEY_BYTES} bytes",
                hint="shorten the uri of the source",
            )


def pack_key(key: str) -> bytes:
    """Return a key's bytes; two keys are never the same bytes."""
    return key.encode("utf-8", "surrogatepass")


def unpack_key(key: bytes | None) -> str:
    """Return a key from its bytes; whoever else publishes may use any."""
    try:
        return (key or b"").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return (key or b"").decode("utf-8", "backslashreplace")


def fit_text(text: str, most: int) -> str:
    """Return a text cut to length, without the half characters a file name may bring along."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")
