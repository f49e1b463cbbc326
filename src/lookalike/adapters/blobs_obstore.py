"""Blobs in a folder or an object store, by obstore.

A put is whole or not at all: obstore writes beside the place and renames, and object stores do
so by nature. It is not synced to disk: thumbnails can be made again from their pictures, and a
sync for each would cost more than making it. Whatever cannot be made again belongs into the
catalog.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from lookalike.domain.errors import DiskFullError, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from obstore import ObjectMeta
    from obstore.store import ObjectStore

REMOTE_THREADS: Final = 16
"""Puts under way at once to an object store; a local disk gains nothing from threads."""


class ObstoreBlobStore:
    """`ports.blobs.BlobStore` over any store that obstore opens, which happens at first use.

    The url is `file:///folder` (made when missing), `s3://bucket/prefix`, `gs://bucket/prefix`
    or another that obstore knows. Keys and secrets of object stores come from the environment,
    by the names their own tools read.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_local = urlsplit(url).scheme == "file"

    def put(self, key: str, data: bytes) -> None:
        """Write or replace a blob."""
        import obstore

        with _errors(self._url, key):
            obstore.put(self._store, _checked(key), data)

    def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Write several blobs; on an error some of them may be there."""
        for key in blobs:
            _checked(key)
        if self._is_local or len(blobs) < 2:
            for key, data in blobs.items():
                self.put(key, data)
            return
        with ThreadPoolExecutor(min(REMOTE_THREADS, len(blobs))) as pool:
            for _ in pool.map(self.put, blobs.keys(), blobs.values()):
                pass

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one, and tell whether it was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with _errors(self._url, key):
            try:
                obstore.put(self._store, _checked(key), data, mode="create")
            except (AlreadyExistsError, FileExistsError):
                return False
            return True

    def get(self, key: str) -> bytes | None:
        """Return a blob, or None."""
        import obstore

        with _errors(self._url, key):
            try:
                return bytes(obstore.get(self._store, _checked(key)).bytes())
            except FileNotFoundError:
                return None

    def has(self, key: str) -> bool:
        """Tell whether the blob exists."""
        import obstore

        with _errors(self._url, key):
            try:
                obstore.head(self._store, _checked(key))
            except FileNotFoundError:
                return False
            return True

    def delete(self, key: str) -> None:
        """Delete a blob; an unknown key does nothing."""
        import obstore

        with _errors(self._url, key):
            try:
                obstore.delete(self._store, _checked(key))
            except FileNotFoundError:
                return

    def signed_url(self, key: str, *, expires_s: float) -> str | None:
        """Return a URL that gives the blob to anybody for so long; None for a folder."""
        import obstore
        from obstore.store import AzureStore, GCSStore, S3Store

        checked = _checked(key)
        with _errors(self._url, key):
            if not isinstance(self._store, AzureStore | GCSStore | S3Store):
                return None
            return obstore.sign(self._store, "GET", checked, timedelta(seconds=expires_s))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in no order."""
        for blob in self._listed(prefix.rpartition("/")[0]):
            if blob["path"].startswith(prefix):
                yield blob["path"]

    def bytes_used(self) -> int:
        """Return the sum of the blobs' sizes; lists them all."""
        return sum(blob["size"] for blob in self._listed(""))

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import LocalStore, from_url

        with _errors(self._url, ""):
            if self._is_local:
                return LocalStore(_folder_of(self._url), mkdir=True)
            return from_url(self._url)

    def _listed(self, folder: str) -> Iterator[ObjectMeta]:
        import obstore

        with _errors(self._url, folder):
            pages: Iterable[Iterable[ObjectMeta]] = obstore.list(self._store, prefix=folder or None)
            for page in pages:
                yield from page


def _folder_of(url: str) -> Path:
    """Return the folder of a `file:` url, whose name need not be UTF-8."""
    path = urlsplit(url).path
    if os.name == "nt":
        return Path(url2pathname(path))
    return Path(os.fsdecode(unquote_to_bytes(path)))


def _checked(key: str) -> str:
    """Return a key that names one blob inside the store, or refuse it."""
    is_odd = "\\" in key or not key.isprintable() or any("\ud800" <= c <= "\udfff" for c in key)
    if is_odd or any(part in {"", ".", ".."} for part in key.split("/")):
        raise StoreError(
            f"{key!r} cannot be the key of a blob", hint="keys look like thumbnails/ab/abcd"
        )
    return key


@contextmanager
def _errors(name: str, key: str) -> Generator[None]:
    """Turn obstore's errors into ours."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        what = f"{name}: {key}" if key else name
        first_line = str(error).partition("\n")[0]
        if "No space left on device" in str(error) or "StorageFull" in str(error):
            raise DiskFullError(
                f"no space is left for {what}", hint="free some space and go on"
            ) from error
        raise StoreError(f"{what}: {first_line}", hint="check the store and its rights") from error
