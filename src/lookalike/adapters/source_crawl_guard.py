"""What keeps a Scrapy crawl polite and inside: addresses, robots.txt, delays."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from scrapy import Request, signals
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.resolver import CachingThreadedResolver
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.error import DNSLookupError

from lookalike.domain.addresses import AllowList, is_odd_number, is_public
from lookalike.domain.pages_addresses import AGENT

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

PORTS: Final = frozenset((80, 443, 8080, 8443))
LONGEST_DELAY_S: Final = 600.0
"""A Crawl-delay above this is taken for this."""

_ALLOW: Final = "LOOKALIKE_ALLOW"


class BlockedAddressError(IgnoreRequest):
    """A request leads where this crawl may not go."""


class GuardedResolver(CachingThreadedResolver):
    """Resolves names, and refuses those that lead to private addresses.

    The connection goes to the very address that is returned here, so what a name means later
    (DNS rebinding) plays no part. Names are resolved to IPv4.
    """

    allow = AllowList()

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: Any) -> GuardedResolver:
        """Make the resolver with the hosts that the crawl's settings allow."""
        made = super().from_crawler(crawler, reactor)
        made.allow = AllowList.parse(crawler.settings.getlist(_ALLOW))
        return made

    def getHostByName(  # noqa: N802 - Twisted's name
        self, name: str, timeout: Any = ()
    ) -> Deferred[str]:
        """Return the address of a host, or fail with `BlockedAddressError`."""
        found = super().getHostByName(name, timeout)
        return found.addCallback(self._checked, name)

    def _checked(self, text: str, name: str) -> str:
        refuse_private(self.allow, name, text)
        return text


class GuardMiddleware:
    """Refuses requests by the form of their URL and by what their host resolves to."""

    def __init__(self, crawler: Crawler) -> None:
        self._allow = AllowList.parse(crawler.settings.getlist(_ALLOW))

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> GuardMiddleware:
        """Make the middleware; Scrapy calls this."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Let a request pass, or raise `BlockedAddressError`; redirects come here too."""
        try:
            parts = urlsplit(request.url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise BlockedAddressError(f"not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
            raise BlockedAddressError("only http and https URLs without a user name are fetched")
        if is_odd_number(host) or "%" in host:
            raise BlockedAddressError(f"{host} is an address in disguise")
        text = host.strip("[]")
        if not _is_address(text):
            text = await self._resolved(host)
        if not text:
            return  # the download will say that there is no such host
        refuse_private(self._allow, host, text)
        is_allowed = self._allow.has_host(host)
        is_allowed = is_allowed or self._allow.has_address(ipaddress.ip_address(text))
        if port is not None and port not in PORTS and not is_allowed:
            raise BlockedAddressError(f"port {port} is not one of {sorted(PORTS)}")

    async def _resolved(self, host: str) -> str:
        from twisted.internet import reactor

        resolver = cast("Any", reactor).resolver
        try:
            return cast("str", await maybe_deferred_to_future(resolver.getHostByName(host)))
        except (DNSLookupError, OSError, UnicodeError):
            return ""


class Robots(RobotsTxtMiddleware):
    """Obeys robots.txt as RFC 9309 has it: none means all, one that fails means nothing.

    Scrapy reads an error page as if it were a robots.txt, and takes one that fails for leave.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._failed: dict[str, str] = {}

    def process_request_2(self, rp: Any, request: Request) -> None:
        """Let a request pass, or raise `IgnoreRequest`."""
        if why := self._failed.get(urlsplit(request.url).netloc):
            raise IgnoreRequest(f"its host's robots.txt cannot be had: {why}")
        super().process_request_2(rp, request)

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if response.status >= 500 or response.status == 429:
            self._failed[netloc] = f"HTTP {response.status}"
        elif response.status != 200:
            response = response.replace(body=b"")
        await super()._parse_robots(response, netloc, request)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self._failed[netloc] = f"{type(exc).__name__}: {exc}"[:120]
        super()._robots_error(exc, netloc)


class PoliteThrottle(AutoThrottle):
    """Slows down for slow hosts as AutoThrottle does, and for the Crawl-delay of robots.txt."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._least: dict[str, float] = {}
        crawler.signals.connect(self._take_robots, signal=signals.robots_parsed)

    def _take_robots(self, robotparser: Any, request: Request) -> None:
        stated = robotparser.rp.crawl_delay(AGENT)
        if stated is None:
            return
        downloader = cast("Any", self.crawler.engine).downloader
        key = downloader.get_slot_key(request)
        delay = max(self.mindelay, min(float(stated), LONGEST_DELAY_S))
        self._least[key] = delay
        downloader.per_slot_settings[key] = {"delay": delay, "concurrency": 1, "jitter": 0.0}
        if key in downloader.slots:
            downloader.slots[key].delay = delay
            downloader.slots[key].concurrency = 1
            downloader.slots[key].jitter = 0.0

    def _adjust_delay(self, slot: Any, latency: float, response: Response) -> None:
        super()._adjust_delay(slot, latency, response)
        key = cast("Any", self.crawler.engine).downloader.get_slot_key(response.request)
        slot.delay = max(slot.delay, self._least.get(key, 0.0))


def refuse_private(allow: AllowList, host: str, text: str) -> None:
    """Raise `BlockedAddressError` where a host's address is not public and not allowed."""
    address = ipaddress.ip_address(text)
    if not (is_public(address) or allow.has_host(host) or allow.has_address(address)):
        raise BlockedAddressError(f"{host} leads to {address}, which is not a public address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
