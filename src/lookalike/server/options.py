"""What a server may be told: where it listens, whom it lets in and what it bounds."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from lookalike.domain.errors import UsageError

MIB: Final = 1024 * 1024
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The bounds and doors of one server.

    `api_keys` may be empty only on a loopback `host`. `allowed_hosts` adds names that the Host
    header may bear (`*` for any). `rate_per_s` of 0 turns the rate limit off. `cors_origins`
    names foreign origins whose pages may call the API.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_upload_bytes: int = 32 * MIB
    max_k: int = 200
    max_query_chars: int = 2000
    max_parts: int = 16
    max_in_flight: int = 64
    threads: int = 8
    deadline_ms: float = 2000.0
    body_timeout_s: float = 60.0
    rate_per_s: float = 0.0
    rate_burst: int = 40
    shutdown_grace_s: int = 10

    @property
    def max_body_bytes(self) -> int:
        """The most bytes of any request body: an upload as base64, with room for its fields."""
        return self.max_upload_bytes * 4 // 3 + MIB

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(settings: ServerSettings) -> None:
    """Refuse to serve beyond this machine without an API key."""
    if any(not key.strip() or not key.isascii() for key in settings.api_keys):
        raise UsageError(
            "an API key is empty or not ASCII", hint="use 20 or more letters and digits"
        )
    if settings.is_local or settings.api_keys:
        return
    raise UsageError(
        f"serving on {settings.host} would let anyone on the network read and delete pictures",
        hint="set LOOKALIKE_API_KEYS to a long random word, or serve on 127.0.0.1",
    )
