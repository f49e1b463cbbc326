"""Fetch pictures by URL under guard, on the standard library's HTTP client.

A name is resolved once, every address is checked, and the connection goes to an address that was
checked, with the name kept for the Host header and for TLS: what the name means later (DNS
rebinding) plays no part. Redirects pass the same gate. One deadline bounds everything.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from lookalike.domain import reasons
from lookalike.domain.addresses import Address, AllowList, is_odd_number, is_public
from lookalike.domain.errors import FetchError, ImageError
from lookalike.imaging.formats import sniff

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

USER_AGENT: Final = "Lookalike/0.1 (image search; fetches pictures a user asked for)"

_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MOST_URL_CHARACTERS: Final = 8192
_CHUNK_BYTES: Final = 1 << 16
_OPT_OUT: Final = ("noindex", "noimageindex", "noai", "noimageai", "none")
_SAFE: Final = "%/:=&?~#+!$,;'@()*[]"
_TEXTUAL: Final = ("text/", "application/json", "application/xhtml", "application/xml")


class Resolver(Protocol):
    """Resolves a host name to the addresses it has, as texts."""

    def __call__(self, host: str, port: int, /) -> Sequence[str]:
        """Return the addresses, or raise OSError."""
        ...


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched, and how much of it.

    `allow` lists hosts and networks that may be private; any port of theirs may be asked. With
    `is_opt_out_honoured` a picture whose `X-Robots-Tag` says noindex, noimageindex or noai is
    refused: right for indexing, not needed for a query picture.
    """

    allow: tuple[str, ...] = ()
    ports: frozenset[int] = frozenset((80, 443, 8080, 8443))
    max_bytes: int = 32 << 20
    timeout_s: float = 20.0
    connect_timeout_s: float = 5.0
    max_redirects: int = 5
    user_agent: str = USER_AGENT
    is_opt_out_honoured: bool = True


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL that passed the gate: where to connect, and what to ask there."""

    url: str
    scheme: str
    host: str
    port: int
    request: str
    addresses: tuple[Address, ...]

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class _Deadline:
    """The moment by which a fetch must be done."""

    def __init__(self, timeout_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + timeout_s

    def left_s(self, at_most: float = 3600.0) -> float:
        """Return the seconds left, raising TimeoutError when there are none."""
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the time for the whole fetch is over")
        return min(left, at_most)


class GuardedFetcher:
    """Fetches pictures by http and https; safe to call from many threads at once."""

    def __init__(
        self,
        policy: FetchPolicy | None = None,
        *,
        resolver: Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy or FetchPolicy()
        self._allow = AllowList.parse(self._policy.allow)
        self._resolver = resolver or _resolve
        self._clock = clock
        self._tls = ssl.create_default_context()

    def fetch(self, url: str) -> bytes:
        """Return the body.

        Raises:
            FetchError: `blocked-address`, `fetch-timeout`, `too-many-bytes`, `not-an-image` (a
                web page), `empty-file`, `opted-out` or `fetch-failed`.
        """
        deadline = _Deadline(self._policy.timeout_s, self._clock)
        try:
            for _ in range(self._policy.max_redirects + 1):
                answer = self._ask(self._check(url, deadline), deadline)
                if isinstance(answer, bytes):
                    return answer
                url = urljoin(url, answer)
        except TimeoutError as error:
            raise FetchError(reasons.FETCH_TIMEOUT, f"{_shown(url)}: took too long") from error
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise FetchError(reasons.FETCH_FAILED, f"{_shown(url)}: {why}") from error
        raise _failed(url, f"more than {self._policy.max_redirects} redirects")

    def _check(self, url: str, deadline: _Deadline) -> _Target:
        """Let a URL through the gate, or raise FetchError."""
        parts = _split(url)
        host = _ascii_host(url, parts.hostname or "")
        port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
        addresses = tuple(_address(url, text) for text in self._lookup(url, host, port, deadline))
        if not addresses:
            raise _failed(url, f"{host} has no address")
        is_allowed = self._allow.has_host(host) or all(
            self._allow.has_address(address) for address in addresses
        )
        if not is_allowed:
            for address in addresses:
                if not (is_public(address) or self._allow.has_address(address)):
                    raise _blocked(url, f"{host} leads to {address}, which is not a public address")
            if port not in self._policy.ports:
                raise _blocked(url, f"port {port} is not one of {sorted(self._policy.ports)}")
        path = quote(parts.path or "/", safe=_SAFE)
        request = f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path
        return _Target(url, parts.scheme, host, port, request, addresses)

    def _lookup(self, url: str, host: str, port: int, deadline: _Deadline) -> Sequence[str]:
        """Resolve a name in a thread of its own, since the system's resolver knows no deadline."""
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            pass
        answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self._resolver(host, port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=deadline.left_s(self._policy.connect_timeout_s))
        except queue.Empty:
            raise TimeoutError(f"resolving {host} took too long") from None
        if isinstance(answer, (OSError, UnicodeError)):
            raise _failed(url, f"cannot resolve {host}: {answer}") from answer
        return answer

    def _ask(self, target: _Target, deadline: _Deadline) -> bytes | str:
        """Make one request; return the body, or the location it redirects to."""
        connection = http.client.HTTPConnection(target.host, target.port)
        with self._connect(target, deadline) as raw:
            connection.sock = cast("socket.socket", _DeadlineSocket(raw, deadline))
            connection.putrequest("GET", target.request, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", target.host_header)
            connection.putheader("User-Agent", self._policy.user_agent)
            connection.putheader("Accept", "image/*,*/*;q=0.1")
            connection.putheader("Accept-Encoding", "identity")
            connection.putheader("Connection", "close")
            connection.endheaders()
            with connection.getresponse() as response:
                return self._read_answer(target, response, deadline)

    def _connect(self, target: _Target, deadline: _Deadline) -> socket.socket:
        """Connect to the first checked address that answers."""
        failure: OSError = OSError("no address")
        for address in target.addresses:
            limit = deadline.left_s(self._policy.connect_timeout_s)
            try:
                raw = socket.create_connection((str(address), target.port), timeout=limit)
            except OSError as error:
                failure = error
                continue
            if target.scheme == "http":
                return raw
            try:
                raw.settimeout(deadline.left_s(self._policy.connect_timeout_s))
                return self._tls.wrap_socket(raw, server_hostname=target.host)
            except BaseException:
                raw.close()
                raise
        raise failure

    def _read_answer(
        self, target: _Target, response: http.client.HTTPResponse, deadline: _Deadline
    ) -> bytes | str:
        if response.status in _REDIRECTS:
            location = response.headers.get("Location", "")
            if not location:
                raise _failed(target.url, f"HTTP {response.status} without a Location")
            # Headers come as Latin-1; whatever bytes they hold are written as a URL writes them.
            return quote(location.strip().encode("latin-1"), safe=_SAFE)
        if response.status != http.client.OK:
            raise _failed(target.url, f"HTTP {response.status} {response.reason}"[:120])
        opt_out = _opt_out(response.headers.get_all("X-Robots-Tag", []))
        if self._policy.is_opt_out_honoured and opt_out:
            why = f"{_shown(target.url)}: its server asks not to index it ({opt_out})"
            raise FetchError(reasons.OPTED_OUT, why)
        body = self._read_body(target, response, deadline)
        _refuse_pages(target.url, body, response.headers.get_content_type())
        return body

    def _read_body(
        self, target: _Target, response: http.client.HTTPResponse, deadline: _Deadline
    ) -> bytes:
        """Read at most `max_bytes`, unpacked when the server packs against our wish."""
        limit = self._policy.max_bytes
        if (response.length or 0) > limit:
            raise _too_large(target.url, limit)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise _failed(target.url, f"its server sent Content-Encoding: {encoding[:40]}")
        unpack = zlib.decompressobj(31) if encoding.endswith("gzip") else None
        out = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            deadline.left_s()
            out += unpack.decompress(chunk, limit + 1 - len(out)) if unpack else chunk
            if len(out) > limit or (unpack and unpack.unconsumed_tail):
                raise _too_large(target.url, limit)
        if response.length or (unpack and not unpack.eof):
            raise _failed(target.url, f"the connection ended after {len(out):,} bytes")
        return bytes(out)


class _DeadlineSocket:
    """What http.client needs of a socket, every wait bounded by one deadline."""

    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(self._deadline.left_s())
        self._raw.sendall(data)

    def makefile(self, mode: str) -> IO[bytes]:
        assert mode == "rb"
        return cast("IO[bytes]", io.BufferedReader(_DeadlineReader(self._raw, self._deadline)))

    def close(self) -> None:
        """Leave the socket open: `_ask` closes it."""


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, every wait bounded by one deadline, so that drops of bytes gain no time."""

    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._raw.settimeout(self._deadline.left_s())
        return self._raw.recv_into(buffer)


def _resolve(host: str, port: int, /) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _split(url: str) -> SplitResult:
    """Parse a URL strictly: what two parsers may read differently is refused."""
    if len(url) > _MOST_URL_CHARACTERS:
        raise _failed(url, f"a URL of more than {_MOST_URL_CHARACTERS} characters")
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise _failed(url, "a URL with a blank, backslash or control character")
    try:
        parts = urlsplit(url)
        is_port_wrong = parts.port is not None and not 0 < parts.port < 65536
    except ValueError as error:
        raise _failed(url, f"not a URL: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise _blocked(url, "only http and https are fetched")
    if not parts.hostname or is_port_wrong:
        raise _failed(url, "not a URL with a host")
    if "@" in parts.netloc:
        raise _blocked(url, "a URL with a user name or password in it")
    return parts


def _ascii_host(url: str, host: str) -> str:
    """Return the host in the form that is resolved and sent (IDNA folds ⑦ and fullwidth dots)."""
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _failed(url, f"not a host name: {error}") from error
    host = host.rstrip(".")
    if is_odd_number(host) or "%" in host:
        raise _blocked(url, f"{host} is an address in disguise")
    return host


def _address(url: str, text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise _blocked(url, f"not an address: {text}") from error


def _opt_out(headers: Sequence[str]) -> str:
    """Return the directive that asks every robot to stay away, or an empty string."""
    directives = {each.strip().lower() for header in headers for each in header.split(",")}
    return next((name for name in _OPT_OUT if name in directives), "")


def _refuse_pages(url: str, body: bytes, content_type: str) -> None:
    """Refuse an empty body, and a page that is neither called nor is a picture."""
    if not body:
        raise FetchError(reasons.EMPTY, f"{_shown(url)}: an empty body")
    if not content_type.startswith(_TEXTUAL):
        return
    try:
        sniff(body[:4096])
    except ImageError as error:
        if error.reason != reasons.UNSUPPORTED:
            raise FetchError(
                reasons.NOT_AN_IMAGE, f"{_shown(url)}: {content_type}, not a picture"
            ) from error


def _shown(url: str) -> str:
    """Return the URL for a message, without a password."""
    return re.sub(r"//[^/@]*@", "//…@", url[:200])


def _failed(url: str, why: str) -> FetchError:
    return FetchError(reasons.FETCH_FAILED, f"{_shown(url)}: {why}")


def _blocked(url: str, why: str) -> FetchError:
    hint = "name private hosts that may be asked in LOOKALIKE_ALLOW_HOSTS"
    return FetchError(reasons.BLOCKED_ADDRESS, f"{_shown(url)}: {why}", hint=hint)


def _too_large(url: str, limit: int) -> FetchError:
    return FetchError(reasons.TOO_MANY_BYTES, f"{_shown(url)}: more than {limit:,} bytes")
