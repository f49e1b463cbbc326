"""How a blob store is reached: addresses, credentials, deadlines, sizes; and its place by URL."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from lookalike.domain.errors import UsageError, suggest_names

if TYPE_CHECKING:
    from typing import Self

SCHEMES: Final = ("file", "gs", "memory", "s3")

LEAST_PART_BYTES: Final = 5 << 20
"""S3 refuses smaller parts, but for the last one."""

_CREDENTIALS: Final = frozenset({"access_key", "secret_key"})


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """What a blob store takes besides its URL; a folder needs none of it.

    `endpoint` is the address of a server that is not the cloud's own. Credentials that are not
    given are sought as the cloud's own tools seek them. `service_account` is for `gs://`: the
    path of a key file, or its JSON. `project` is only needed to make a bucket there.

    A call takes at most `connect_timeout_s`, `request_timeout_s` and what retries take, for which
    no more than another `request_timeout_s` is begun. A blob over `part_bytes` travels in parts.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    service_account: str | None = field(default=None, repr=False)
    project: str = ""
    is_anonymous: bool = False
    is_http_allowed: bool = False
    connect_timeout_s: float = 3.0
    request_timeout_s: float = 10.0
    retries: int = 3
    part_bytes: int = 8 << 20

    @classmethod
    def from_url(
        cls, url: str, *, username: str = "", password: str = "", **settings: object
    ) -> Self:
        """Read the options of a store; for `s3://`, name and password are its two keys.

        Raises:
            UsageError: the URL cannot be one of a blob store, or a setting is unknown or wrong.
        """
        place = BlobPlace.from_url(url)
        known = {f.name: f.default for f in fields(cls) if f.name not in _CREDENTIALS}
        values: dict[str, object] = {}
        for name, value in settings.items():
            if name not in known:
                raise UsageError(
                    f"a blob store has no setting {name!r}", hint=suggest_names(name, known)
                )
            values[name] = _checked(name, value, known[name])
        if username or password:
            if place.scheme != "s3" or not (username and password):
                raise UsageError(
                    f"{place.name}: an access key and its secret are for s3:// and go together",
                    hint="gs:// takes the setting service_account",
                )
            values |= {"access_key": username, "secret_key": password}
        return cls(**values).checked()  # pyright: ignore[reportArgumentType]

    def name_of(self, url: str) -> str:
        """Return how errors name the store."""
        name = BlobPlace.from_url(url).name
        return f"{name} at {self.endpoint}" if self.endpoint else name

    def checked(self) -> Self:
        """Return the options, or refuse what cannot work.

        Raises:
            UsageError: an endpoint or a number is out of the question.
        """
        if self.endpoint:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
                raise UsageError(
                    "the endpoint of a blob store is no http(s)://HOST[:PORT]",
                    hint="credentials have settings of their own",
                )
            if parts.scheme == "http" and not self.is_http_allowed:
                raise UsageError(
                    f"{self.endpoint} would send everything in the clear",
                    hint="set is_http_allowed for a network you trust",
                )
        if self.part_bytes < LEAST_PART_BYTES:
            raise UsageError(f"part_bytes is at least {LEAST_PART_BYTES}", hint="leave it out")
        if min(self.connect_timeout_s, self.request_timeout_s) <= 0 or self.retries < 0:
            raise UsageError("timeouts are above 0, and retries not below", hint="leave them out")
        return self


@dataclass(frozen=True, slots=True)
class BlobPlace:
    """A URL taken apart: `s3://bucket/some/prefix`; `name` is for people."""

    scheme: str
    bucket: str
    prefix: str
    name: str

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Take the URL of a blob store apart.

        Raises:
            UsageError: it cannot be one.
        """
        try:
            parts = urlsplit(url)
            is_odd = bool(parts.port)
        except ValueError:
            raise UsageError(f"{url[:80]!r} is no URL", hint="as in s3://bucket/prefix") from None
        scheme = parts.scheme
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise UsageError(f"there is no blob store {scheme[:40]!r}", hint=f"known: {known}")
        if scheme in {"file", "memory"}:
            return cls(scheme, "", "", url)
        if is_odd or "@" in parts.netloc or not parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                f"a {scheme}:// URL is {scheme}://BUCKET[/PREFIX] and no more",
                hint="the server's address is the setting endpoint; keys come from settings too",
            )
        prefix = unquote(parts.path).strip("/")
        if any(part in {"", ".", ".."} for part in prefix.split("/")) and prefix:
            raise UsageError(f"{url[:200]!r} has an odd prefix", hint="as in s3://bucket/prefix")
        shown = f"{scheme}://{parts.netloc}" + (f"/{prefix}" if prefix else "")
        return cls(scheme, parts.netloc, prefix, shown)


def _checked(name: str, value: object, usual: object) -> object:
    """Return the value of a setting as the kind its default is of."""
    if isinstance(usual, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(usual, int):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(usual, float):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, str) or (value is None and usual is None):
        return value
    kind = "a text" if usual is None else f"like {usual!r}"
    raise UsageError(f"the setting {name!r} of a blob store is {kind}", hint="see its default")
