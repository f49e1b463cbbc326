"""What the errors of librdkafka mean.

A call that waits in vain only says that it timed out. Why, a client says on the side: so each
client has a `Trouble` that keeps what it said last.
"""

from __future__ import annotations

import importlib
import time
from contextlib import contextmanager
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
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from confluent_kafka import KafkaError

_AUTH: Final = frozenset(
    (
        "_AUTHENTICATION", "_SSL", "CLUSTER_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED",
        "ILLEGAL_SASL_STATE", "SASL_AUTHENTICATION_FAILED", "TOPIC_AUTHORIZATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
    )
)  # fmt: skip
_MISSING: Final = frozenset(("_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_OR_PART"))
_SLOW: Final = frozenset(
    (
        "_ISR_INSUFF", "_MSG_TIMED_OUT", "_QUEUE_FULL", "_TIMED_OUT", "_TIMED_OUT_QUEUE",
        "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "LEADER_NOT_AVAILABLE",
        "NOT_COORDINATOR", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION", "REBALANCE_IN_PROGRESS", "REQUEST_TIMED_OUT",
        "THROTTLING_QUOTA_EXCEEDED", "_WAIT_COORD",
    )
)  # fmt: skip
_AWAY: Final = frozenset(
    ("_ALL_BROKERS_DOWN", "_RESOLVE", "_TRANSPORT", "BROKER_NOT_AVAILABLE", "NETWORK_EXCEPTION")
)
_TOO_LARGE: Final = frozenset(("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"))
_VERSION: Final = frozenset(("_UNSUPPORTED_FEATURE", "UNSUPPORTED_VERSION"))
_NO_ANSWER: Final = ("Connect to", "Failed to resolve", "Connection refused")

_HINTS: Final[dict[type[BackendError], str]] = {
    BackendAuthError: "check the user, the password, the security setting and the broker's ACLs",
    BackendFullError: "free some space on the brokers",
    BackendMissingError: "lookalike init-cluster --config FILE",
    BackendSchemaError: "lookalike init-cluster --config FILE, which raises its bound",
    BackendTimeoutError: "try again; if it stays, look at the brokers' load",
    BackendUnreachableError: "check the address, and that the broker runs",
    BackendVersionError: "use a broker of Kafka 2.4 or newer",
    BackendError: "look at the broker's log",
}


class Trouble:
    """What one client last complained about."""

    def __init__(self) -> None:
        self._said: tuple[float, str, str] | None = None
        self._auth: tuple[float, str] | None = None

    def note(self, error: KafkaError) -> None:
        """Keep a complaint; this is a client's `error_cb`."""
        code, text = str(error.name()), str(error.str())
        if code in _AUTH:
            self._auth = (time.monotonic(), text)
        elif code != "_ALL_BROKERS_DOWN":  # says less than what came before it
            self._said = (time.monotonic(), code, text)

    def is_auth(self, *, since_s: float) -> bool:
        """Tell whether credentials were refused lately."""
        return self._auth is not None and time.monotonic() - self._auth[0] < since_s

    def is_away(self, *, since_s: float) -> bool:
        """Tell whether a connection could lately not even be begun."""
        if self._said is None or time.monotonic() - self._said[0] >= since_s:
            return False
        return any(words in self._said[2] for words in _NO_ANSWER)


def kafka_client() -> Any:
    """Return the client library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError as error:
        raise MissingExtraError("the Kafka ingest log", extra="kafka") from error
    return confluent_kafka


def kafka_admin() -> Any:
    """Return the part of the library with the administrative calls."""
    kafka_client()
    return importlib.import_module("confluent_kafka.admin")


@contextmanager
def log_errors(name: str, trouble: Trouble, *, since_s: float) -> Generator[None]:
    """Turn errors of the library into ours."""
    exception = kafka_client().KafkaException
    try:
        yield
    except exception as error:
        raise translated(name, error.args[0], trouble, since_s=since_s) from error
    except BufferError as error:
        raise _error(BackendTimeoutError, name, "too much waits to be sent") from error


def translated(
    name: str, error: KafkaError, trouble: Trouble, *, since_s: float = 30.0
) -> BackendError:
    """Return our error for one of the library's, seen with what the client complained about."""
    code = str(error.name())
    if code in _AUTH:
        return _error(BackendAuthError, name, f"it refuses the credentials ({code})")
    if code in _MISSING:
        return _error(BackendMissingError, name, "the topic was not made yet")
    if code in _VERSION:
        return _error(BackendVersionError, name, f"it lacks what is needed ({code})")
    if code in _TOO_LARGE:
        return _error(BackendSchemaError, name, "the topic takes smaller messages only")
    if code == "KAFKA_STORAGE_ERROR":
        return _error(BackendFullError, name, "the broker cannot write to its disk")
    if code in _SLOW or code in _AWAY:
        return silence(name, trouble, since_s=since_s, is_away=code in _AWAY, detail=code)
    return _error(BackendError, name, f"{code}: {str(error.str())[:200]}")


def silence(
    name: str, trouble: Trouble, *, since_s: float, is_away: bool = False, detail: str = ""
) -> BackendError:
    """Return why a call found no answer in time."""
    if trouble.is_auth(since_s=since_s):
        return _error(BackendAuthError, name, "it refuses the credentials")
    if is_away or trouble.is_away(since_s=since_s):
        return _error(BackendUnreachableError, name, "nothing answers there")
    words = f"no answer in time ({detail})" if detail else "no answer in time"
    return _error(BackendTimeoutError, name, words)


def _error(kind: type[BackendError], name: str, message: str) -> BackendError:
    return kind(name, message, hint=_HINTS[kind])
