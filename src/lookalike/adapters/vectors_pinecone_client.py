"""One Pinecone client, whose calls keep their deadline and raise only our errors."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from lookalike.adapters.vectors_pinecone_options import PineconeOptions

MISSING_HINT: Final = "lookalike init-cluster --config FILE"
KEY_HINT: Final = "set LOOKALIKE_VECTORS_API_KEY"
METRICS: Final = ("dotproduct", "cosine")
"""The same for unit vectors."""

_ALONE_S: Final = 5.0
"""So long others wait for a first answer; a service that hangs is not to hang them too."""

_FIRST: Final = threading.Lock()
_ANSWERED: Final[set[str]] = set()
"""Methods that were answered once in this process.

msgspec 0.22, which the client decodes answers with, learns a type when it meets it first; two
threads that do so at once end the process (segmentation fault).
"""


class PineconeLink:
    """The official client over HTTP.

    It repeats by itself, with backoff and jitter, what was throttled or failed for the moment,
    and may take a minute over that. So its calls run in threads that are given up at their
    deadline. Each call is idempotent: one that was given up does no harm when it still arrives.
    """

    def __init__(self, options: PineconeOptions) -> None:
        """Remember where to connect to."""
        self.options = options
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._pinecone: Any = None
        self._index: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._is_closed = False

    def control(self, method: str, **named: Any) -> Any:
        """Call a method of the control plane.

        Raises:
            BackendError: it cannot be done; which of them says why.
        """
        client = self._connected()
        return self._wait(self._submit(client.indexes, method, named), self._deadline())

    def call(self, method: str, **named: Any) -> Any:
        """Call a method of the index.

        Raises:
            BackendError: it cannot be done; which of them says why.
        """
        return self.call_each(method, [named])[0]

    def call_each(self, method: str, calls: Sequence[dict[str, Any]]) -> list[Any]:
        """Call a method of the index several times at once and return the answers in order.

        Each may take its `timeout_s`; those that wait for a thread wait for the ones before.
        """
        index = self._data_plane()
        rounds = -(-len(calls) // self.options.threads)
        deadline = self._deadline(rounds)
        futures = [self._submit(index, method, named) for named in calls]
        try:
            return [self._wait(future, deadline) for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def check_shape(self, dim: int) -> str:
        """Look whether the index is there and fits, and return its state.

        Raises:
            BackendMissingError: there is none.
            BackendSchemaError: it has another dimension or metric.
        """
        if self.options.host:
            stats = self.call("describe_index_stats")
            self._check(dim, stats.dimension, getattr(stats, "metric", None))
            return "Ready"
        found = self.control("describe", name=self.options.index)
        self._check(dim, getattr(found, "dimension", None), getattr(found, "metric", None))
        return str(found.status.state)

    def close(self) -> None:
        """Let the connections go; calls raise from now on."""
        with self._lock:
            self._is_closed = True
            clients, threads = (self._index, self._pinecone), self._threads
            self._index = self._pinecone = self._threads = None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        for client in clients:
            if client is not None:
                client.close()

    def _check(self, dim: int, here: int | None, metric: str | None) -> None:
        if here != dim:
            raise BackendSchemaError(
                self.options.name,
                f"the index holds vectors of {here} numbers, the encoder makes {dim}",
                hint="use the encoder that filled it, or name another index",
            )
        if metric is not None and str(metric) not in METRICS:
            raise BackendSchemaError(
                self.options.name,
                f"the index measures by {metric}, not by dotproduct",
                hint="name another index: its metric cannot be changed",
            )

    def _connected(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise StoreError("the vector index is closed", hint="open the index again")
            if self._pinecone is None:
                self._pinecone = _client(self.options)
                self._threads = ThreadPoolExecutor(self.options.threads, "pinecone")
            return self._pinecone

    def _data_plane(self) -> Any:
        client = self._connected()
        with self._opening:  # one of several threads; another's client would never be closed
            if self._index is None:
                named = {"name": self.options.index, "host": self.options.host}
                index = self._wait(self._submit(client, "index", named), self._deadline())
                with self._lock:
                    if not self._is_closed:
                        self._index = index
                if self._index is None:
                    index.close()
                    raise StoreError("the vector index is closed", hint="open the index again")
            return self._index

    def _deadline(self, rounds: int = 1) -> float:
        return time.monotonic() + self.options.timeout_s * max(1, rounds)

    def _submit(self, target: Any, method: str, named: dict[str, Any]) -> Future[Any]:
        threads = self._threads
        if threads is None:
            raise StoreError("the vector index is closed", hint="open the index again")
        return threads.submit(_answer_of, target, method, named)

    def _wait(self, future: Future[Any], deadline: float) -> Any:
        from pinecone.errors.exceptions import PineconeError

        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except LateError:
            # The client's own timeout is one of these too.
            raise BackendTimeoutError(
                self.options.name, "it did not answer in time", hint="try again"
            ) from None
        except PineconeError as error:
            raise translated(self.options.name, error) from error


def _answer_of(target: Any, method: str, named: dict[str, Any]) -> Any:
    """Call a method; alone, until it was answered once."""
    call = getattr(target, method)
    if method in _ANSWERED:
        return call(**named)
    is_alone = _FIRST.acquire(timeout=_ALONE_S)
    try:
        answer = call(**named)
    finally:
        if is_alone:
            _FIRST.release()
    _ANSWERED.add(method)
    return answer


def _client(options: PineconeOptions) -> Any:
    try:
        from pinecone import Pinecone
    except ImportError:
        raise MissingExtraError("the pinecone vector index", extra="pinecone") from None
    if not options.api_key:
        raise BackendAuthError(options.name, "there is no API key", hint=KEY_HINT)
    from pinecone.errors.exceptions import PineconeError

    try:
        return Pinecone(
            api_key=options.api_key, host=options.control_host, timeout=options.timeout_s
        )
    except PineconeError as error:
        raise translated(options.name, error) from error


def translated(name: str, error: Exception) -> BackendError:
    """Return our error for one of the client's."""
    kind = type(error).__name__
    status = int(getattr(error, "status_code", 0) or 0)
    said = " ".join(str(getattr(error, "message", error)).split())[:300]
    is_quota = "quota" in f"{getattr(error, 'error_code', '')} {said}".lower()
    if status == 402 or (status == 403 and is_quota):
        return BackendFullError(name, f"it takes no more: {said}", hint="raise the plan's limits")
    if status in {401, 403} or "API key" in said:
        return BackendAuthError(name, "it refuses the API key", hint=KEY_HINT)
    if status == 404:
        return BackendMissingError(name, "there is no such index", hint=MISSING_HINT)
    if status in {408, 429} or status >= 500 or kind == "PineconeTimeoutError":
        return BackendTimeoutError(
            name, f"it is overloaded or failing: {said}", hint="try again later"
        )
    if kind == "PineconeConnectionError":
        return BackendUnreachableError(name, "nothing answers", hint="is the host right?")
    if kind == "ResponseParsingError":
        return BackendVersionError(
            name, "its answers are of another version", hint="pip install -U 'lookalike[pinecone]'"
        )
    return BackendError(name, f"it refuses: {said}", hint="report a bug")
