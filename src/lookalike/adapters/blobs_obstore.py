"""Blobs in a folder or an object store, by obstore.

A put is whole or not at all: obstore writes beside the place and renames, and object stores do
so by nature. In a folder it is not synced to disk: thumbnails can be made again from their
pictures, and a sync for each would cost more than making it. Whatever cannot be made again belongs
into the catalog.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from lookalike.adapters.blobs_errors import is_missing_bucket, store_errors, translated
from lookalike.adapters.blobs_open import open_bucket
from lookalike.adapters.blobs_options import BlobOptions, BlobPlace
from lookalike.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from obstore import ObjectMeta
    from obstore.store import ObjectStore

T = TypeVar("T")
R = TypeVar("R")

REMOTE_THREADS: Final = 16
"""Calls under way at once to an object store; a local disk gains nothing from threads."""

LONGEST_SIGNATURE_S: Final = 7 * 86400
"""No signed URL holds for longer."""


class ObstoreBlobStore:
    """`ports.blobs.BlobStore` over a folder or an object store, which is opened at first use.

    The url is `file:///folder` (made when missing), `s3://bucket/prefix`, `gs://bucket/prefix` or
    `memory:///`.
    """

    def __init__(self, url: str, options: BlobOptions | None = None) -> None:
        self._url = url
        self._options = options or BlobOptions()
        self._is_local = urlsplit(url).scheme not in {"gs", "s3"}
        self._name = url if self._is_local else self._options.name_of(url)

    def put(self, key: str, data: bytes) -> None:
        """Write or replace a blob; a large one goes to an object store in parts."""
        import obstore

        with self._errors(key):
            obstore.put(self._store, checked_key(key), data, chunk_size=self._options.part_bytes)

    def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Write several blobs; on an error some of them may be there."""
        for key in blobs:
            checked_key(key)
        self._do_each(lambda item: self.put(*item), blobs.items())

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one, and tell whether it was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._errors(key):
            try:
                obstore.put(self._store, checked_key(key), data, mode="create")
            except (AlreadyExistsError, FileExistsError):
                return False
            return True

    def get(self, key: str) -> bytes | None:
        """Return a blob, or None."""
        import obstore

        with self._errors(key):
            try:
                return bytes(obstore.get(self._store, checked_key(key)).bytes())
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

    def get_many(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Return the blobs there are of these keys."""
        wanted = list(dict.fromkeys(map(checked_key, keys)))
        found = zip(wanted, self._do_each(self.get, wanted), strict=True)
        return {key: data for key, data in found if data is not None}

    def has(self, key: str) -> bool:
        """Tell whether the blob exists."""
        import obstore

        with self._errors(key):
            try:
                obstore.head(self._store, checked_key(key))
            except FileNotFoundError:
                # An answer to HEAD has no body, which alone tells a missing bucket.
                return not self._is_local and self.get(key) is not None
            return True

    def delete(self, key: str) -> None:
        """Delete a blob; an unknown key does nothing."""
        import obstore

        with self._errors(key):
            try:
                obstore.delete(self._store, checked_key(key))
            except FileNotFoundError as error:
                self._check_bucket(error)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete several blobs; S3 takes a thousand a call."""
        import obstore

        wanted = list(dict.fromkeys(map(checked_key, keys)))
        if urlsplit(self._url).scheme != "s3":
            self._do_each(self.delete, wanted)
            return
        with self._errors(""):
            obstore.delete(self._store, wanted)

    def signed_url(self, key: str, *, expires_s: float) -> str | None:
        """Return a URL that gives the blob to anybody for so long; None where none can be made.

        A folder signs nothing, nor does a store that is used without credentials. With `gs://` and
        no key file at hand, the cloud is asked to sign, which takes a call.
        """
        import obstore
        from obstore.store import AzureStore, GCSStore, S3Store

        checked = checked_key(key)
        bounded = min(max(1.0, expires_s), LONGEST_SIGNATURE_S)
        with self._errors(key):
            store = self._store
            if self._options.is_anonymous or not isinstance(store, AzureStore | GCSStore | S3Store):
                return None
            return obstore.sign(store, "GET", checked, timedelta(seconds=bounded))

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

        with self._errors(""):
            if urlsplit(self._url).scheme == "file":
                return LocalStore(_folder_of(self._url), mkdir=True)
            if self._is_local:
                return from_url(self._url)
            return open_bucket(BlobPlace.from_url(self._url), self._options)

    def _listed(self, folder: str) -> Iterator[ObjectMeta]:
        import obstore

        with self._errors(folder):
            pages: Iterable[Iterable[ObjectMeta]] = obstore.list(self._store, prefix=folder or None)
            for page in pages:
                yield from page

    def _do_each(self, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
        items = list(items)
        if self._is_local or len(items) < 2:
            return [call(item) for item in items]
        with ThreadPoolExecutor(min(REMOTE_THREADS, len(items))) as pool:
            return list(pool.map(call, items))  # what waits is dropped at the first error

    def _check_bucket(self, error: FileNotFoundError) -> None:
        if not self._is_local and is_missing_bucket(str(error)):
            raise translated(self._name, str(error)) from None

    def _errors(self, key: str) -> AbstractContextManager[None]:
        return store_errors(self._name, key, is_local=self._is_local)


def _folder_of(url: str) -> Path:
    """Return the folder of a `file:` url, whose name need not be UTF-8."""
    path = urlsplit(url).path
    if os.name == "nt":
        return Path(url2pathname(path))
    return Path(os.fsdecode(unquote_to_bytes(path)))


def checked_key(key: str) -> str:
    """Return a key that names one blob inside the store, or refuse it."""
    is_odd = "\\" in key or not key.isprintable() or any("\ud800" <= c <= "\udfff" for c in key)
    if is_odd or any(part in {"", ".", ".."} for part in key.split("/")):
        raise StoreError(
            f"{key!r} cannot be the key of a blob", hint="keys look like thumbnails/ab/abcd"
        )
    return key
