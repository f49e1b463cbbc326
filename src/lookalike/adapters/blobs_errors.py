"""What the errors of object stores mean, read off obstore's texts, and without their secrets."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
    DiskFullError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

HINTS: Final[dict[type[BackendError], str]] = {
    BackendAuthError: "check the keys, their rights to this bucket, and this machine's clock",
    BackendFullError: "free some space, or raise the quota",
    BackendMissingError: "lookalike init-cluster --config FILE",
    BackendTimeoutError: "try again; if it stays, look at the server's load",
    BackendUnreachableError: "check the endpoint, and that the server runs",
    BackendError: "check the bucket, its region and its rights",
}

_CODES: Final[dict[str, type[BackendError]]] = {
    "NoSuchBucket": BackendMissingError,
    **dict.fromkeys(
        (
            "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId",
            "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
        ),
        BackendAuthError,
    ),
    **dict.fromkeys(
        ("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
        BackendTimeoutError,
    ),
    **dict.fromkeys(
        ("InsufficientCapacity", "QuotaExceeded", "StorageFull", "XMinioStorageFull"),
        BackendFullError,
    ),
}  # fmt: skip

_STATUSES: Final[dict[int, type[BackendError]]] = {
    401: BackendAuthError,
    403: BackendAuthError,
    404: BackendMissingError,
    507: BackendFullError,
    **dict.fromkeys((408, 425, 429, 500, 502, 503, 504), BackendTimeoutError),
}

_WORDS: Final[dict[type[BackendError], str]] = {
    BackendAuthError: "the credentials are refused",
    BackendFullError: "no room is left",
    BackendMissingError: "there is no such bucket",
    BackendTimeoutError: "no answer in time",
    BackendUnreachableError: "nothing answers there",
}

# Where the clients ask a cloud's own machine for credentials when they were given none.
_METADATA: Final = ("169.254.169.254", "metadata.google.internal")


@contextmanager
def store_errors(name: str, key: str, *, is_local: bool) -> Generator[None]:
    """Turn obstore's errors into ours."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        if not is_local:
            raise translated(name, str(error)) from None  # its text may hold keys and signatures
        what = f"{name}: {key}" if key else name
        first_line = str(error).partition("\n")[0]
        if "No space left on device" in str(error) or "StorageFull" in str(error):
            raise DiskFullError(
                f"no space is left for {what}", hint="free some space and go on"
            ) from error
        raise StoreError(f"{what}: {first_line}", hint="check the store and its rights") from error


def translated(name: str, text: str) -> BackendError:
    """Return our error for the text of one that an object store's client raised."""
    if any(host in text for host in _METADATA):
        return _error(BackendAuthError, name, "no credentials were given, and none are found here")
    if "service account file" in text:
        return _error(BackendAuthError, name, "the key file of the service account cannot be read")
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    status = re.search(r"status code: (\d{3})", text)
    if code and code[1] in _CODES:
        return _error(_CODES[code[1]], name, code[1])
    if status:
        kind = _STATUSES.get(int(status[1]), BackendError)
        return _error(kind, name, code[1] if code else f"HTTP {status[1]}")
    if re.search(r"\bkind: Timeout\b", text):
        return _error(BackendTimeoutError, name, "")
    if re.search(r"\bkind: (Connect|Interrupted|Request|Decode)\b", text):
        return _error(BackendUnreachableError, name, _cause(text))
    return _error(BackendError, name, _cause(text))


def is_missing_bucket(text: str) -> bool:
    """Tell whether what was not found is the bucket, and not the blob in it."""
    return "<Code>NoSuchBucket</Code>" in text


def _error(kind: type[BackendError], name: str, detail: str) -> BackendError:
    words = _WORDS.get(kind, "it does not do its work")
    if kind is BackendTimeoutError and detail:
        words = "it answers, but cannot do it now"
    return kind(name, f"{words} ({detail})" if detail else words, hint=HINTS[kind])


def _cause(text: str) -> str:
    for cause in ("Connection refused", "dns error", "Connection reset", "InvalidContentType"):
        if cause in text:
            return cause
    first_line = text.partition("\n")[0]
    return re.sub(r"https?://\S+", "its address", first_line)[:160]
