"""What the errors of the Cassandra driver mean; this module may be imported without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
    from collections.abc import Iterator

EXTRA: Final = "cassandra"
INIT_HINT: Final = "lookalike init-cluster --config FILE"

_TIMEOUTS: Final = frozenset(
    {
        "OperationTimedOut",
        "ReadTimeout",
        "WriteTimeout",
        "OverloadedErrorMessage",
        "RateLimitReached",
    }
)
_TRANSIENT: Final = _TIMEOUTS | {
    "Unavailable", "NoHostAvailable", "ConnectionShutdown", "ConnectionBusy",
    "NoConnectionsAvailable", "IsBootstrappingErrorMessage",
}  # fmt: skip
_UNSENT: Final = frozenset(
    {
        "Unavailable",
        "OverloadedErrorMessage",
        "IsBootstrappingErrorMessage",
        "ConnectionRefusedError",
    }
)
_AUTH: Final = frozenset({"AuthenticationFailed", "Unauthorized", "BadCredentials"})
_LOST: Final = frozenset(
    {
        "NoHostAvailable", "ConnectionException", "ConnectionShutdown", "ConnectionBusy",
        "UnresolvableContactPoints", "NoConnectionsAvailable", "Unavailable",
    }
)  # fmt: skip


def missing_extra() -> MissingExtraError:
    """Return the error for a driver that is not installed."""
    return MissingExtraError("the cassandra catalog", extra=EXTRA)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same statement may pass when it is sent again."""
    return any(_kind(one) in _TRANSIENT for one in _causes(error)) and not any(
        _kind(one) in _AUTH for one in _causes(error)
    )


def is_refused(error: BaseException) -> bool:
    """Tell whether a statement was surely not carried out: no replica has seen it."""
    if _kind(error) == "NoHostAvailable":
        return all(_kind(one) in _UNSENT for one in list(_causes(error))[1:])
    return _kind(error) in _UNSENT


def translated(error: BaseException, backend: str) -> BackendError:
    """Return what an error of the driver means to the catalog at `backend`."""
    causes = list(_causes(error))
    kinds = {_kind(one) for one in causes}
    text = "; ".join(dict.fromkeys(filter(None, map(_words, causes))))
    lowered = text.lower()
    if kinds & _AUTH:
        return BackendAuthError(
            backend,
            "it refuses the credentials or the right to do this",
            hint="set LOOKALIKE_CATALOG_USERNAME and LOOKALIKE_CATALOG_PASSWORD",
        )
    if "ProtocolVersion" in text or "protocol version" in lowered or "DriverException" in kinds:
        return BackendVersionError(
            backend, f"it does not speak the protocol of Cassandra 4: {text}", hint="upgrade it"
        )
    if "no space left" in lowered or "disk full" in lowered or "disk is full" in lowered:
        return BackendFullError(backend, text, hint="add room or nodes, then go on")
    if "InvalidRequest" in kinds or "ConfigurationException" in kinds:
        return _refused(backend, text, lowered)
    if kinds & _TIMEOUTS or any(isinstance(one, TimeoutError) for one in causes):
        return BackendTimeoutError(
            backend, "it did not answer in time", hint="is the cluster overloaded? try again"
        )
    if kinds & _LOST or any(isinstance(one, OSError) for one in causes):
        return BackendUnreachableError(
            backend,
            text or "nothing answers",
            hint="is it up, and are its address and local_datacenter right?",
        )
    return BackendError(backend, text or repr(error), hint="see the log of the server")


def _refused(backend: str, text: str, lowered: str) -> BackendError:
    """Tell a schema that is not there from one that is not ours."""
    if "does not exist" in lowered or "unconfigured table" in lowered:
        return BackendMissingError(backend, f"nothing was made there yet ({text})", hint=INIT_HINT)
    if "undefined column" in lowered or "unknown identifier" in lowered:
        return BackendSchemaError(
            backend, f"its tables are not this version's ({text})", hint=INIT_HINT
        )
    return BackendError(backend, text, hint="see the log of the server")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and, of one that stands for several hosts, what each has said."""
    yield error
    of_hosts = getattr(error, "errors", None)
    if isinstance(of_hosts, dict):
        yield from (one for one in of_hosts.values() if isinstance(one, BaseException))


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _words(error: BaseException) -> str:
    """Return what an error says, shorter and plainer for those that stand for all hosts."""
    kind = _kind(error)
    if kind == "NoHostAvailable":
        has_said = len(list(_causes(error))) > 1
        return "" if has_said else "no node that may be asked is up"
    if kind == "UnresolvableContactPoints":
        return "no host of the url has an address"
    return str(error) or kind
