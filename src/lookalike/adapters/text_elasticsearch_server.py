"""One seam before two clients: requests to Elasticsearch and to OpenSearch.

Tries again what may pass, within the deadline of the call: every call made here is safe to
repeat.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from lookalike.adapters.text_elasticsearch_errors import Refusal
from lookalike.domain.errors import (
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions

UNREACHABLE_TRIES: Final = 3
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
CONNECTIONS: Final = 16
"""Kept open to each node; more calls at once open further ones."""

_JSON: Final = {"accept": "application/json", "content-type": "application/json"}
_LINES: Final = {"accept": "application/json", "content-type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Request:
    """One call; `is_lines` marks a body of several JSON objects, one a line."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    is_lines: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """What is sent and what is wanted."""
        return dict(_LINES if self.is_lines else _JSON)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON that came with it."""

    status: int
    body: Any


class Transport(Protocol):
    """One client library; raises what means that no answer came."""

    def send(self, request: Request, *, timeout_s: float) -> Answer:
        """Return the answer, whatever its status."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


class SearchServer:
    """Calls to one cluster, shared by the text and the filter index; safe between threads.

    Each index that is opened on it holds it; it closes with the last of them.
    """

    def __init__(
        self,
        options: ElasticsearchOptions,
        *,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.options = options
        self._transport = transport or _open(options)
        self._clock = clock
        self._sleep = sleep
        self._jitter = random.Random(0x5EED).random  # noqa: S311 - spreads retries, hides nothing
        self._holders = 0

    @property
    def name(self) -> str:
        """The cluster and alias as errors show them."""
        return self.options.name

    def hold(self) -> None:
        """Keep the connections open for one more holder."""
        self._holders += 1

    def release(self) -> None:
        """Let go; the last holder closes the connections."""
        self._holders -= 1
        if self._holders <= 0:
            self.close()

    def close(self) -> None:
        """Release the connections."""
        self._transport.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        allowed: Collection[int] = (),
    ) -> Any:
        """Return the JSON of an answer that succeeded, None for a status that is allowed.

        Raises:
            BackendError: it failed, or did not answer within the deadline.
        """
        data = None if body is None else encoded(body)
        return self.send(Request(method, path, params or {}, data), allowed=allowed)

    def send(
        self, request: Request, *, allowed: Collection[int] = (), timeout_s: float | None = None
    ) -> Any:
        """Send a request as `call` does."""
        deadline = self._clock() + (timeout_s or self.options.request_timeout_s)
        for tries in itertools.count(1):
            left_s = max(deadline - self._clock(), 0.01)
            pause_s = self.pause_s(tries)
            try:
                answer = self._transport.send(request, timeout_s=left_s)
            except BackendUnreachableError:
                if tries >= UNREACHABLE_TRIES or self._clock() + pause_s >= deadline:
                    raise
            else:
                if answer.status < 400:
                    return answer.body
                if answer.status in allowed:
                    return None
                refusal = Refusal.of(answer.status, answer.body)
                if not refusal.is_transient or self._clock() + pause_s >= deadline:
                    raise refusal.error(self.name)
            self._sleep(pause_s)
        raise AssertionError("unreachable")  # pragma: no cover

    def pause_s(self, tries: int) -> float:
        """Return how long to wait after so many tries: doubling, with jitter."""
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tries) * (0.5 + self._jitter() / 2)

    def wait(self, tries: int, deadline: float) -> bool:
        """Wait before the next try; tell whether there is time for one."""
        pause_s = self.pause_s(tries)
        if self._clock() + pause_s >= deadline:
            return False
        self._sleep(pause_s)
        return True

    def now(self) -> float:
        """Return the clock that deadlines are measured by."""
        return self._clock()

    def at(self, alias: str) -> SearchServer:
        """Return the same cluster with another alias, over the same connections."""
        options = replace(self.options, alias=alias)
        return SearchServer(
            options, transport=_Shared(self._transport), clock=self._clock, sleep=self._sleep
        )


def encoded(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encoded_lines(values: Iterable[object]) -> bytes:
    """Return JSON objects, one a line."""
    return b"".join(encoded(value) + b"\n" for value in values)


def _open(options: ElasticsearchOptions) -> Transport:
    if options.product == "opensearch":
        return _OpenSearchTransport(options)
    return _ElasticsearchTransport(options)


class _Shared:
    """Somebody else's transport, which stays open."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request, *, timeout_s: float) -> Answer:
        return self._transport.send(request, timeout_s=timeout_s)

    def close(self) -> None:
        pass


class _ElasticsearchTransport:
    def __init__(self, options: ElasticsearchOptions) -> None:
        try:
            import elasticsearch
        except ImportError as error:
            raise MissingExtraError(
                "the elasticsearch text index", extra="elasticsearch"
            ) from error
        self._library = elasticsearch
        self._name = options.name
        credentials: dict[str, Any] = {}
        if options.api_key:
            credentials["api_key"] = options.api_key
        elif options.username:
            credentials["basic_auth"] = (options.username, options.password)
        if options.is_secure and options.ca_certs:
            credentials["ca_certs"] = options.ca_certs
        self._client = elasticsearch.Elasticsearch(
            list(options.urls),
            max_retries=0,
            retry_on_timeout=False,
            connections_per_node=CONNECTIONS,
            **credentials,
        )

    def send(self, request: Request, *, timeout_s: float) -> Answer:
        library = self._library
        client = self._client.options(request_timeout=timeout_s)
        try:
            answer = client.perform_request(
                request.method,
                request.path,
                params=request.params,
                headers=request.headers,
                body=request.body,
            )
        except library.UnsupportedProductError as error:
            raise BackendVersionError(
                self._name, "it is not Elasticsearch", hint="write opensearch:// for OpenSearch"
            ) from error
        except library.ApiError as error:
            return Answer(error.meta.status, error.body)
        except library.ConnectionTimeout as error:
            raise _late(self._name, timeout_s) from error
        except library.TransportError as error:
            raise _unreachable(self._name, error) from error
        return Answer(answer.meta.status, answer.body)

    def close(self) -> None:
        self._client.close()


class _OpenSearchTransport:
    def __init__(self, options: ElasticsearchOptions) -> None:
        try:
            import opensearchpy
        except ImportError as error:
            raise MissingExtraError("the opensearch text index", extra="opensearch") from error
        self._library = opensearchpy
        self._name = options.name
        extra: dict[str, Any] = {}
        if options.username:
            extra["http_auth"] = (options.username, options.password)
        if options.is_secure:
            extra["verify_certs"] = True
            if options.ca_certs:
                extra["ca_certs"] = options.ca_certs
        self._client = opensearchpy.OpenSearch(
            list(options.urls),
            max_retries=0,
            retry_on_timeout=False,
            pool_maxsize=CONNECTIONS,
            **extra,
        )

    def send(self, request: Request, *, timeout_s: float) -> Answer:
        library = self._library
        try:
            body = self._client.transport.perform_request(
                request.method,
                request.path,
                params=dict(request.params),
                body=request.body,
                timeout=timeout_s,
                headers=request.headers,
            )
        except library.ConnectionTimeout as error:
            raise _late(self._name, timeout_s) from error
        except library.ConnectionError as error:
            raise _unreachable(self._name, error) from error
        except library.TransportError as error:
            if not isinstance(error.status_code, int):
                raise _unreachable(self._name, error) from error
            return Answer(error.status_code, error.info or error.error)
        except library.SerializationError as error:
            raise _unreachable(self._name, error) from error
        return Answer(200, body)

    def close(self) -> None:
        self._client.close()


def _late(name: str, timeout_s: float) -> BackendTimeoutError:
    return BackendTimeoutError(
        name, f"no answer within {timeout_s:.1f} s", hint="see whether its nodes are overloaded"
    )


def _unreachable(name: str, error: Exception) -> BackendUnreachableError:
    return BackendUnreachableError(
        name,
        f"no answer: {str(error)[:200]}",
        hint="see that it runs, and that the address and tls are right",
    )
