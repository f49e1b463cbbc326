"""The port of blob stores: thumbnails, originals, model versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol


class BlobStore(Protocol):
    """Bytes by key (`thumbnails/ab/abcd….webp`); a put is whole or not at all."""

    def put(self, key: str, data: bytes) -> None:
        """Write or replace a blob."""
        ...

    def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Write several blobs; on an error some of them may be there."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one, and tell whether it was written.

        Of several writers at once exactly one is told yes.
        """
        ...

    def get(self, key: str) -> bytes | None:
        """Return a blob, or None."""
        ...

    def get_many(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Return the blobs there are of these keys, all in memory."""
        ...

    def has(self, key: str) -> bool:
        """Tell whether the blob exists."""
        ...

    def delete(self, key: str) -> None:
        """Delete a blob; an unknown key does nothing."""
        ...

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete several blobs; on an error some of them may be left."""
        ...

    def signed_url(self, key: str, *, expires_s: float) -> str | None:
        """Return a URL that gives the blob to anybody for so long, or None where there is none."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`."""
        ...

    def bytes_used(self) -> int:
        """Return the sum of the blobs' sizes."""
        ...
