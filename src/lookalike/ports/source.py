"""The port of sources: where pictures come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from lookalike.domain.arrays import FloatMatrix
from lookalike.domain.images import Source


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One picture to index: what is said of it, and how to get its bytes.

    `kind` says which of `path`, `data`, `url` or `vector` holds it. `vector` is a ready
    `(1, dim)` unit embedding whose picture may not be at hand (`width`, `height` if known).
    `error` is set instead when the item is known to be unusable: `(reason, detail)`.
    """

    source: Source
    kind: Literal["path", "data", "url", "vector", "error"]
    path: Path | None = None
    data: bytes = b""
    url: str = ""
    vector: FloatMatrix | None = field(default=None, repr=False)
    width: int = 0
    height: int = 0
    error: tuple[str, str] = ("", "")


def error_item(uri: str, reason: str, detail: str, *, url: str = "") -> SourceItem:
    """Return the item of an unusable entry; `reason` is a name of `domain.reasons`.

    A uri that ends in `/` speaks for everything below it: a folder that cannot be listed has
    not lost its pictures. A uri of a whole archive or table speaks for what was not read of it.
    """
    return SourceItem(Source(uri=uri), "error", url=url, error=(reason, detail))


class PictureSource(Protocol):
    """Yields items in a stable order without holding them all."""

    @property
    def name(self) -> str:
        """What the user named."""
        ...

    def items(self) -> Iterator[SourceItem]:
        """Yield every item; unusable ones come with their error, and nothing is lost silently."""
        ...

    def count(self) -> int | None:
        """Return how many items there will be, or None when that cannot be told cheaply."""
        ...

    @property
    def prefix(self) -> str | None:
        """The uri prefix this source covers whole, so that missing uris have vanished; or None."""
        ...


class Fetcher(Protocol):
    """Fetches URLs under guard: no private addresses, bounded bytes, redirects and time."""

    def fetch(self, url: str) -> bytes:
        """Return the body, or raise `FetchError` with its reason."""
        ...
