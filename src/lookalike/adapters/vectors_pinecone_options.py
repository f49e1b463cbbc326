"""Where a Pinecone index and namespace are, how one is made, and how long is waited."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from lookalike.adapters.vectors_options import check_positive, checked_settings, refuse_secrets
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from typing import Self

CONTROL_HOST: Final = "https://api.pinecone.io"
MOST_HITS: Final = 10_000
"""What a query returns at most."""

_INDEX: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FIXED: Final = ("index", "namespace", "api_key")


@dataclass(frozen=True, slots=True)
class PineconeOptions:
    """Everything about one namespace that is not its data.

    `host` is the index's own address; without it the control plane at `control_host` is asked
    for it. `cloud` and `region` say where `init-cluster` makes a missing index. `threads` calls
    are under way at once, `batch_rows` vectors (or 1.8 MB of them) in each.

    A call ends within `timeout_s`, the client's own repetitions taken in. A search waits for this
    process's own writes to be shown, for `wait_s` at most.
    """

    index: str
    namespace: str
    api_key: str = field(default="", repr=False)
    host: str = ""
    control_host: str = CONTROL_HOST
    cloud: str = "aws"
    region: str = "us-east-1"
    batch_rows: int = 100
    threads: int = 8
    timeout_s: float = 15.0
    wait_s: float = 5.0

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        username: str = "",
        password: str = "",
        api_key: str = "",
        **settings: object,
    ) -> Self:
        """Read `pinecone://index/namespace` and settings by the names of the fields.

        Raises:
            UsageError: the URL cannot be one, or a setting is unknown or out of range.
        """
        try:
            parts = urlsplit(url)
            has_port = parts.port is not None
        except ValueError:
            raise _bad_url(url) from None
        refuse_secrets(parts)
        index, namespace = parts.netloc, unquote(parts.path).strip("/")
        if parts.scheme != "pinecone" or has_port or not _INDEX.fullmatch(index):
            raise _bad_url(url)
        if not _NAMESPACE.fullmatch(namespace):
            raise _bad_url(url)
        if username or password:
            raise UsageError(
                "Pinecone knows no username and password", hint="set LOOKALIKE_VECTORS_API_KEY"
            )
        chosen: dict[str, Any] = checked_settings(cls, settings, _FIXED)
        options = cls(index, namespace, api_key=api_key, **chosen)
        check_positive(options, ("batch_rows", "threads", "timeout_s"))
        if options.batch_rows > 1000 or options.wait_s < 0:
            raise UsageError("batch_rows is at most 1000, and wait_s not below 0")
        for host in filter(None, (options.host, options.control_host)):
            if "@" in host or urlsplit(host).scheme not in {"", "http", "https"}:
                raise UsageError(
                    "host and control_host are http(s)://HOST[:PORT], or a bare host",
                    hint="leave them out for the live service",
                )
        return options

    @property
    def name(self) -> str:
        """How errors name the back end."""
        return f"pinecone://{self.index}/{self.namespace}"


def _bad_url(url: str) -> UsageError:
    return UsageError(
        f"{url[:80]!r} is not the URL of a Pinecone namespace",
        hint="write pinecone://INDEX/NAMESPACE: small letters, digits and - in the index's name",
    )
