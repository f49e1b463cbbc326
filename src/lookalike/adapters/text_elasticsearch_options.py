"""Where an Elasticsearch or OpenSearch cluster is, and how it is spoken to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from lookalike.domain.errors import UsageError, suggest_names

Product: TypeAlias = Literal["elasticsearch", "opensearch"]

PRODUCTS: Final[tuple[Product, ...]] = ("elasticsearch", "opensearch")
DEFAULT_PORT: Final = 9200

_EXAMPLE: Final = "write elasticsearch://host:9200/photos or opensearch+https://host:9200/photos"
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_INTERVAL: Final = re.compile(r"[1-9][0-9]*(ms|s|m)")
_PLACE: Final = ("hosts", "alias", "product", "is_secure", "username", "password", "api_key")
_TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class ElasticsearchOptions:
    """One alias on one cluster.

    `refresh` says when a commit can be searched: `true` at once, `wait_for` with the server's
    next refresh, which each write then waits for, an interval such as `5s` within that time.
    `shards` and `replicas` shape the indexes that are made; an existing one keeps what it has.
    `global_statistics` scores by the statistics of all shards together, which costs one more
    round between them. `request_timeout_s` bounds a call with all its tries, `write_timeout_s`
    a whole `add`. A bulk request holds at most `bulk_docs` documents and `bulk_bytes` bytes.
    """

    hosts: tuple[str, ...]
    alias: str
    product: Product = "elasticsearch"
    is_secure: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    ca_certs: str = ""
    refresh: str = "true"
    shards: int = 1
    replicas: int = 1
    global_statistics: bool = True
    request_timeout_s: float = 10.0
    write_timeout_s: float = 60.0
    bulk_docs: int = 1000
    bulk_bytes: int = 5 << 20

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not _ALIAS.fullmatch(self.alias):
            raise UsageError(
                f"{self.alias!r} is no name for an index",
                hint="write small letters, digits, _, - and ., a letter or digit first",
            )
        if self.refresh not in {"true", "wait_for"} and not _INTERVAL.fullmatch(self.refresh):
            raise UsageError(
                f"refresh cannot be {self.refresh!r}", hint="write true, wait_for or 5s"
            )
        least = {"shards": 1, "replicas": 0, "bulk_docs": 1, "bulk_bytes": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name} must be at least {low}")
        for name in ("request_timeout_s", "write_timeout_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise UsageError(f"{name} must lie between 0 and 3600 seconds")
        if self.api_key and (self.username or self.product == "opensearch"):
            raise UsageError(
                "an api_key goes with elasticsearch:// and without a username",
                hint="give a username and a password instead",
            )

    @property
    def name(self) -> str:
        """The cluster and alias as errors show them."""
        scheme = f"{self.product}+https" if self.is_secure else self.product
        return f"{scheme}://{','.join(self.hosts)}/{self.alias}"

    @property
    def urls(self) -> tuple[str, ...]:
        """The address of each node."""
        scheme = "https" if self.is_secure else "http"
        return tuple(f"{scheme}://{host}" for host in self.hosts)

    @classmethod
    def from_url(
        cls, url: str, *, username: str = "", password: str = "", api_key: str = "", **settings: Any
    ) -> ElasticsearchOptions:
        """Read `elasticsearch://host:port[,host:port]/alias`, or `opensearch://…`.

        `+https` after the scheme, or `?tls=true`, encrypts. Settings are named as the fields
        are; they may stand in the query of the URL, too.

        Raises:
            UsageError: the URL or a setting is not understood.
        """
        parts = urlsplit(url)
        product, _, transport = parts.scheme.partition("+")
        if product not in PRODUCTS or transport not in {"", "http", "https"}:
            raise UsageError(f"{parts.scheme or url!r} is no text index", hint=_EXAMPLE)
        if "@" in parts.netloc:
            raise UsageError(
                "the address holds credentials", hint="give them by the environment instead"
            )
        given: dict[str, Any] = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **settings}
        is_secure = _truth("tls", given.pop("tls", transport == "https"))
        known = {one.name: str(one.type) for one in fields(cls) if one.name not in _PLACE}
        for name in given:
            if name not in known:
                raise UsageError(
                    f"there is no setting {name} of {product}",
                    hint=suggest_names(name, (*known, "tls")),
                )
        return cls(
            hosts=_hosts(parts.netloc),
            alias=parts.path.strip("/"),
            product=product,
            is_secure=is_secure,
            username=username,
            password=password,
            api_key=api_key,
            **{name: _converted(name, known[name], value) for name, value in given.items()},
        )


def _hosts(netloc: str) -> tuple[str, ...]:
    hosts: list[str] = []
    for place in netloc.split(","):
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError as error:
            raise UsageError(f"{place!r} is no host and port", hint=_EXAMPLE) from error
        if not host:
            raise UsageError(f"{netloc!r} names no host", hint=_EXAMPLE)
        hosts.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return tuple(hosts)


def _converted(name: str, kind: str, value: object) -> Any:
    if kind == "bool":
        return _truth(name, value)
    if kind == "str":
        return str(value).lower() if name == "refresh" else str(value)
    if isinstance(value, bool):
        raise UsageError(f"{name} must be a number, not {value!r}")
    try:
        return int(str(value)) if kind == "int" else float(str(value))
    except ValueError as error:
        raise UsageError(f"{name} must be a number, not {value!r}") from error


def _truth(name: str, value: object) -> bool:
    found = _TRUTHS.get(str(value).lower())
    if found is None:
        raise UsageError(f"{name} must be true or false, not {value!r}")
    return found
