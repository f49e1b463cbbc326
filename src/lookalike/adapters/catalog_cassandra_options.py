"""How a Cassandra catalog is reached: hosts, credentials, consistency, deadlines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

from lookalike.domain.errors import UsageError, suggest_names

if TYPE_CHECKING:
    from typing import Self

PORT: Final = 9042
MOST_LOG_DAYS: Final = 366
MOST_URI_PARTS: Final = 1 << 16

READ_LEVELS: Final = frozenset(
    {"ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "LOCAL_ONE"}
)
WRITE_LEVELS: Final = READ_LEVELS | {"EACH_QUORUM"}
SERIAL_LEVELS: Final = frozenset({"SERIAL", "LOCAL_SERIAL"})

_WEAK: Final = frozenset({"ONE", "TWO", "THREE", "LOCAL_ONE"})
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_PLACE: Final = "cassandra://HOST[:PORT],HOST[:PORT]/KEYSPACE"
_OF_CREDENTIALS: Final = frozenset({"hosts", "keyspace", "username", "password"})


def _one_copy() -> Mapping[str, str | int]:
    return {"class": "SimpleStrategy", "replication_factor": 1}


@dataclass(frozen=True, slots=True)
class CassandraOptions:
    """What a catalog takes of a cluster.

    `consistency` is that of reads and writes; either may have its own. Where the replicas of a
    read and of a write need not overlap, a read may miss what was acknowledged. `replication` is
    used when the keyspace is made, and so is `uri_parts`: over so many partitions the listing of
    uris is spread, about one for each million of them. A call takes at most `request_timeout_s`,
    retries included. The log remembers `log_days`.
    """

    hosts: tuple[tuple[str, int], ...]
    keyspace: str
    username: str = ""
    password: str = field(default="", repr=False)
    consistency: str = "LOCAL_QUORUM"
    read_consistency: str = ""
    write_consistency: str = ""
    serial_consistency: str = "LOCAL_SERIAL"
    replication: Mapping[str, str | int] = field(default_factory=_one_copy)
    local_datacenter: str = ""
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 10.0
    is_encrypted: bool = False
    ca_file: str = ""
    page_rows: int = 500
    in_flight: int = 128
    uri_parts: int = 64
    log_days: int = 7

    @classmethod
    def from_url(
        cls, url: str, *, username: str = "", password: str = "", **settings: object
    ) -> Self:
        """Read the options of a catalog at `cassandra://HOST[:PORT],…/KEYSPACE`.

        Raises:
            UsageError: the URL cannot be one of a catalog, or a setting is unknown or wrong.
        """
        hosts, keyspace = _split(url)
        known = {f.name: f.type for f in fields(cls) if f.name not in _OF_CREDENTIALS}
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in known:
                raise UsageError(
                    f"the cassandra catalog has no setting {name!r}",
                    hint=suggest_names(name, known),
                )
            values[name] = _checked(name, value, str(known[name]))
        return cls(hosts, keyspace, username, password, **values).checked()

    @property
    def name(self) -> str:
        """How errors name the catalog: its first host and its keyspace."""
        host, port = self.hosts[0]
        host = f"[{host}]" if ":" in host else host
        return f"cassandra://{host}:{port}/{self.keyspace}"

    @property
    def reads(self) -> str:
        """The consistency level of reads."""
        return self.read_consistency or self.consistency

    @property
    def writes(self) -> str:
        """The consistency level of writes."""
        return self.write_consistency or self.consistency

    @property
    def is_overlapping(self) -> bool:
        """Whether a read sees every acknowledged write, by the levels alone."""
        if "ALL" in {self.reads, self.writes}:
            return True
        return not {self.reads, self.writes} & _WEAK

    def checked(self) -> Self:
        """Return the options, or refuse what cannot work.

        Raises:
            UsageError: a level, a number or the replication is out of the question.
        """
        levels = (
            ("consistency", self.consistency, READ_LEVELS),
            ("read_consistency", self.reads, READ_LEVELS),
            ("write_consistency", self.writes, WRITE_LEVELS),
            ("serial_consistency", self.serial_consistency, SERIAL_LEVELS),
        )
        for name, level, known in levels:
            if level not in known:
                raise UsageError(
                    f"{name} cannot be {level!r}", hint="known: " + ", ".join(sorted(known))
                )
        if min(self.connect_timeout_s, self.request_timeout_s) <= 0:
            raise UsageError("timeouts are above 0", hint="leave them out")
        if not 1 <= self.uri_parts <= MOST_URI_PARTS or not 1 <= self.log_days <= MOST_LOG_DAYS:
            raise UsageError(
                f"uri_parts is 1 to {MOST_URI_PARTS}, log_days 1 to {MOST_LOG_DAYS}",
                hint="leave them out",
            )
        if min(self.page_rows, self.in_flight) < 1:
            raise UsageError("page_rows and in_flight are above 0", hint="leave them out")
        if "class" not in self.replication:
            raise UsageError(
                "replication names no class",
                hint='replication = {class = "NetworkTopologyStrategy", dc1 = 3}',
            )
        return self


def _split(url: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Return the hosts and the keyspace of a URL."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}", hint=f"write {_PLACE}") from error
    if parts.scheme != "cassandra" or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is no place of a catalog", hint=f"write {_PLACE}")
    if "@" in parts.netloc:
        raise UsageError(
            "a cassandra:// URL holds no credentials", hint="they come from the environment"
        )
    keyspace = unquote(parts.path.strip("/"))
    if not _KEYSPACE.fullmatch(keyspace):
        raise UsageError(
            f"{keyspace!r} cannot be a keyspace", hint="small letters, digits and _, at most 48"
        )
    return tuple(_host(host, url) for host in parts.netloc.split(",")), keyspace


def _host(text: str, url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r}: {error}", hint=f"write {_PLACE}") from error
    if not host:
        raise UsageError(f"{url!r} names no host", hint=f"write {_PLACE}")
    return host, port or PORT


def _checked(name: str, value: object, wanted: str) -> object:
    """Return a setting of the type that it has in the file, or refuse it."""
    if wanted == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if wanted.startswith("Mapping") and isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        if all(isinstance(key, str) and isinstance(of, str | int) for key, of in table.items()):
            return {str(key): of for key, of in table.items()}
    elif {"str": str, "int": int, "bool": bool}.get(wanted) is type(value):
        return value
    raise UsageError(f"{name} cannot be {value!r}", hint=f"it is a {wanted.partition('[')[0]}")
