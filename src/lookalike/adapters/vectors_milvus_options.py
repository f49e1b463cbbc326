"""Where a Milvus collection is, how it is indexed, and how patient its reader is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from lookalike.adapters.vectors_options import (
    HOST_NAME,
    check_among,
    check_positive,
    checked_settings,
    refuse_secrets,
)
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from typing import Self

IndexType = Literal["IVF_FLAT", "IVF_SQ8", "IVF_PQ", "SCANN", "HNSW"]
Consistency = Literal["Strong", "Bounded", "Session", "Eventually"]

INDEX_TYPES: Final[tuple[str, ...]] = get_args(IndexType)
CONSISTENCIES: Final[tuple[str, ...]] = get_args(Consistency)
MOST_HITS: Final = 16_384
"""What Milvus returns at most, for one query."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_FIXED: Final = ("host", "port", "collection", "username", "password", "api_key")


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """Everything about one collection that is not its data; the defaults are measured (ADR 0014).

    `index_type`, `nlist`, `pq_m` (0: a fitting divisor of the dimension), `pq_bits` and `hnsw_m`
    shape an index when it is made. `nprobe` and `text_nprobe` are the cells probed in each segment
    for pictures and for words; HNSW takes `ef` instead. Of IVF_PQ, `refine` candidates for each
    hit asked for, `least_refine` at least, are scored anew with the vectors themselves. A filter
    that lets `exact_rows` rows or fewer through is answered exactly.

    `consistency` is how new the data of a search must be; a process always sees its own writes.
    """

    host: str
    port: int
    collection: str
    database: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    is_tls: bool = False
    index_type: IndexType = "IVF_SQ8"
    nlist: int = 1024
    nprobe: int = 64
    text_nprobe: int = 128
    pq_m: int = 0
    pq_bits: int = 8
    hnsw_m: int = 16
    ef: int = 400
    refine: float = 2.0
    least_refine: int = 100
    exact_rows: int = 1000
    consistency: Consistency = "Bounded"
    replicas: int = 1
    connect_timeout_s: float = 5.0
    timeout_s: float = 10.0
    optimize_timeout_s: float = 600.0

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
        """Read `milvus://host[:port]/collection` and settings by the names of the fields.

        `api_key` is the token of a managed service, instead of a name and a password.

        Raises:
            UsageError: the URL cannot be one, or a setting is unknown or out of range.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 19530
        except ValueError:
            raise _bad_url(url) from None
        refuse_secrets(parts)
        collection = parts.path.strip("/")
        host = parts.hostname or ""
        if parts.scheme != "milvus" or not HOST_NAME.fullmatch(host):
            raise _bad_url(url)
        if not _NAME.fullmatch(collection):
            raise UsageError(
                f"{collection[:80]!r} cannot name a Milvus collection",
                hint="letters, digits and _, beginning with a letter: milvus://HOST:PORT/pictures",
            )
        chosen: dict[str, Any] = checked_settings(cls, settings, _FIXED)
        if api_key and (username or password):
            raise UsageError("give Milvus an api_key, or a username and a password, not both")
        options = cls(
            host, port, collection, username=username, password=password, api_key=api_key, **chosen
        )
        options._check()
        return options

    @property
    def name(self) -> str:
        """How errors name the back end."""
        return f"milvus://{self._address}/{self.collection}"

    @property
    def uri(self) -> str:
        """What the client calls the server's address."""
        return f"{'https' if self.is_tls else 'http'}://{self._address}"

    @property
    def token(self) -> str:
        """The credentials in one word, or an empty one."""
        return self.api_key or (f"{self.username}:{self.password}" if self.username else "")

    @property
    def _address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def _check(self) -> None:
        check_among("index_type", self.index_type, INDEX_TYPES)
        check_among("consistency", self.consistency, CONSISTENCIES)
        if self.database and not _NAME.fullmatch(self.database):
            raise UsageError(f"{self.database[:80]!r} cannot name a Milvus database")
        positive = (
            "nlist",
            "nprobe",
            "text_nprobe",
            "pq_bits",
            "hnsw_m",
            "ef",
            "least_refine",
            "replicas",
        )
        check_positive(self, (*positive, "connect_timeout_s", "timeout_s", "optimize_timeout_s"))
        if self.nlist > 65_536 or self.refine < 1 or self.pq_m < 0 or self.exact_rows < 0:
            raise UsageError(
                "nlist is at most 65536, refine 1 or more, pq_m and exact_rows not below 0",
                hint="leave them out for the defaults",
            )


def _bad_url(url: str) -> UsageError:
    return UsageError(
        f"{url[:80]!r} is not the URL of a Milvus collection",
        hint="write milvus://HOST:PORT/COLLECTION",
    )
