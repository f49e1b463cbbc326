"""Buckets, made and inspected."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lookalike.adapters.blobs_buckets import S3Keys, make_gs_bucket, make_s3_bucket
from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.blobs_open import open_bucket
from lookalike.adapters.blobs_options import BlobOptions, BlobPlace
from lookalike.domain.errors import BackendAuthError, BackendMissingError, StoreError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROBE: Final = "probes"
"""The folder of the blobs that an inspection puts and deletes again."""


class BlobProvisioner:
    """`ports.provision.Provisioner` of one bucket, or of a folder, which makes itself."""

    def __init__(
        self,
        url: str,
        options: BlobOptions | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._place = BlobPlace.from_url(url)
        self._options = options or BlobOptions()
        self._store = ObstoreBlobStore(url, self._options)
        self._now = now
        self.name = self._options.name_of(url)

    def prepare(self) -> Sequence[str]:
        """Make the bucket unless it is there.

        Raises:
            BackendError: it cannot be reached, refuses, or has to be made by hand.
        """
        bucket, scheme = self._place.bucket, self._place.scheme
        if scheme not in {"gs", "s3"}:
            return []
        if scheme == "gs" and self._options.is_anonymous and self._options.endpoint:
            is_made = make_gs_bucket(self.name, bucket, self._options)
            return [f"the bucket {bucket}"] if is_made else []
        if self._is_there():
            return []
        if scheme == "gs":
            raise BackendMissingError(
                self.name,
                "there is no such bucket, and it cannot be made from here",
                hint=f"gcloud storage buckets create gs://{bucket}",
            )
        is_made = make_s3_bucket(self.name, bucket, self._keys(), self._options, self._now())
        return [f"the bucket {bucket}"] if is_made else []

    def check(self) -> Sequence[Finding]:
        """Look whether the bucket is there, can be written to, and keeps conditions."""
        return list(self._findings())

    def _findings(self) -> Iterator[Finding]:
        try:
            next(self._store.keys(f"{PROBE}/"), None)
        except StoreError as error:
            yield Finding("blobs", "error", error.message, self._remedy(error))
            return
        yield Finding("blobs", "ok", f"{self.name} can be listed")
        key = f"{PROBE}/{secrets.token_hex(8)}"
        try:
            yield self._write(key)
        except StoreError as error:
            yield Finding("blobs writing", "error", error.message, self._remedy(error))
        finally:
            self._clean(key)

    def _write(self, key: str) -> Finding:
        is_first, is_second = (
            self._store.put_new(key, b"first"),
            self._store.put_new(key, b"second"),
        )
        found = self._store.get(key)
        if found != b"first" or not is_first or is_second:
            return Finding(
                "blobs writing",
                "error",
                "conditional put ignored: of two writers of one blob, both were told yes",
                "use a server that keeps If-None-Match (S3) or x-goog-if-generation-match",
            )
        return Finding("blobs writing", "ok", "put, conditional put, get and delete work")

    def _clean(self, key: str) -> None:
        try:
            self._store.delete(key)
        except StoreError:
            return  # what kept it from being deleted was already told

    def _is_there(self) -> bool:
        try:
            next(self._store.keys(f"{PROBE}/"), None)
        except BackendMissingError:
            return False
        return True

    def _keys(self) -> S3Keys:
        """Return the keys that were given, or those obstore found in the environment."""
        config = open_bucket(self._place, self._options).config
        access = config.get("access_key_id")
        secret = config.get("secret_access_key")
        if not access or not secret:
            raise BackendAuthError(
                self.name,
                "there is no such bucket, and no keys are given to make it with",
                hint=f"aws s3 mb s3://{self._place.bucket}",
            )
        return S3Keys(access, secret, config.get("session_token") or "")

    def _remedy(self, error: StoreError) -> str:
        if isinstance(error, BackendMissingError) and self._place.scheme == "gs":
            return f"gcloud storage buckets create gs://{self._place.bucket}"
        return error.hint
