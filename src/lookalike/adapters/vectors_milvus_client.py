"""One connection to Milvus, whose calls keep their deadline and raise only our errors."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
    StoreError,
)

if TYPE_CHECKING:
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

MISSING_HINT: Final = "lookalike init-cluster --config FILE"

_BUSY: Final = frozenset({1, 2, 4, 8, 13, 49})
"""Not ready, no node for it now, too many requests, rate limits (old and new numbers)."""
_FULL: Final = frozenset({3, 9, 11, 50, 51, 52})
"""Memory or disk limits, writes denied because of them."""
_MISSING: Final = frozenset({100, 101, 103, 106, 700, 800})
"""No such collection, index or database, or the collection is not loaded (wholly)."""
_OWN_WRITES_S: Final = 10.0
"""For so long after a write a reader asks to see its own; every level is fresher than that."""

_DENIED: Final = frozenset({1400, 1401, 1402})


class MilvusLink:
    """A `pymilvus` client, connected at the first call.

    The client tries again by itself until a call's deadline, while the server cannot be reached
    or refuses for load. That is safe, since every call is idempotent.
    """

    def __init__(self, options: MilvusOptions) -> None:
        """Remember where to connect to."""
        self.options = options
        self._lock = threading.Lock()
        self._client: Any = None
        self._is_closed = False
        self._written_s = self._deleted_s = -_OWN_WRITES_S
        self._deletes = self._deletes_seen = 0

    def read(self, method: str, *, level: str = "", **named: Any) -> Any:
        """Call a method that reads, so that it sees what this process wrote.

        An upsert tells when it took place, and a `Session` read waits for that. A delete does
        not, and needs a `Strong` read (once; where there are replicas, for a while).
        """
        deletes = self._deletes
        level = level or self._level()
        answer = self.call(method, self.options.collection, consistency_level=level, **named)
        if level == "Strong":
            self._deletes_seen = max(self._deletes_seen, deletes)
        return answer

    def write(self, method: str, **named: Any) -> None:
        """Call a method that changes the collection, and let the next reads wait for it."""
        try:
            self.call(method, self.options.collection, **named)
        finally:
            self._written_s = time.monotonic()
            if method == "delete":
                self._deleted_s = self._written_s
                self._deletes += 1

    def _level(self) -> str:
        level, now = self.options.consistency, time.monotonic()
        if self._deletes > self._deletes_seen:
            return "Strong"
        if self.options.replicas > 1 and now - self._deleted_s < _OWN_WRITES_S:
            return "Strong"
        return "Session" if now - self._written_s < _OWN_WRITES_S and level != "Strong" else level

    def call(
        self, method: str, *arguments: object, timeout_s: float | None = None, **named: object
    ) -> Any:
        """Call a method of the client within `timeout_s`, or the usual seconds.

        Raises:
            BackendError: it cannot be done; which of them says why.
        """
        client = self._connected()
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        timeout_s = self.options.timeout_s if timeout_s is None else timeout_s
        try:
            return getattr(client, method)(*arguments, timeout=timeout_s, **named)
        except (MilvusException, RpcError) as error:
            raise translated(self.options.name, error) from error

    def close(self) -> None:
        """Let the connection go; calls raise from now on."""
        with self._lock:
            self._is_closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise StoreError("the vector index is closed", hint="open the index again")
            if self._client is None:
                self._client = _connect(self.options)
            return self._client


def _connect(options: MilvusOptions) -> Any:
    try:
        from grpc import RpcError
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise MissingExtraError("the milvus vector index", extra="milvus") from None
    # Whatever fails is raised; the client prints each failure with its traceback besides.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    try:
        return MilvusClient(
            uri=options.uri,
            token=options.token,
            db_name=options.database,
            timeout=options.connect_timeout_s,
            dedicated=True,
        )
    except (MilvusException, RpcError) as error:
        raise translated(options.name, error) from error


def translated(name: str, error: Exception) -> BackendError:
    """Return our error for one of the client's."""
    status = _status_of(error)
    if status:
        return _of_status(name, status)
    code = getattr(error, "code", 0)
    codes = {code, getattr(error, "compatible_code", 0)}
    said = " ".join(str(getattr(error, "message", error)).split())[:300]
    words = said.lower()
    if "fail connecting" in words:
        return _of_status(name, "UNAVAILABLE")
    if code == 9 or codes & _FULL or "quota exhausted" in words:
        return BackendFullError(
            name, f"it has no room left: {said}", hint="give Milvus more memory or disk"
        )
    if codes & _MISSING or "not found" in words or "not loaded" in words:
        return BackendMissingError(name, said, hint=MISSING_HINT)
    if codes & _DENIED or "auth" in words:
        return BackendAuthError(
            name, "it refuses the credentials", hint="LOOKALIKE_VECTORS_USERNAME and …_PASSWORD"
        )
    if codes & _BUSY:
        return BackendTimeoutError(name, f"it is busy: {said}", hint="try again")
    return BackendError(name, f"it refuses: {said}", hint="see the log of Milvus")


def _status_of(error: BaseException | None) -> str:
    """Return the gRPC status of an error or of what caused it, or an empty string."""
    for _ in range(4):
        if error is None:
            return ""
        code = getattr(error, "code", None)
        code = code() if callable(code) else code
        if isinstance(getattr(code, "name", None), str) and type(code).__name__ == "StatusCode":
            return str(code.name)
        if type(error).__name__ == "FutureTimeoutError":
            return "DEADLINE_EXCEEDED"
        error = error.__cause__
    return ""


def _of_status(name: str, status: str) -> BackendError:
    if status in {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}:
        return BackendTimeoutError(name, "it did not answer in time", hint="is it overloaded?")
    if status in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
        return BackendAuthError(
            name, "it refuses the credentials", hint="LOOKALIKE_VECTORS_USERNAME and …_PASSWORD"
        )
    if status == "UNIMPLEMENTED":
        return BackendVersionError(name, "it lacks a call", hint="Milvus 2.3 or newer is needed")
    if status == "UNAVAILABLE":
        return BackendUnreachableError(name, "nothing answers", hint="is Milvus running there?")
    return BackendError(name, f"the call failed: {status}", hint="see the log of Milvus")
