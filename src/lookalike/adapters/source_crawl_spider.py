"""The spider: follows pages, fetches their pictures, keeps both in the crawl's state.

It runs in a process of its own (`source_crawl_child`), since Twisted's reactor can neither be
started twice nor share a process with signal handlers of others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, cast

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DontCloseSpider, IgnoreRequest
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from lookalike.adapters.source_crawl_guard import BlockedAddressError
from lookalike.adapters.source_crawl_spool import CrawlRequest, CrawlSpool
from lookalike.adapters.source_pages_html import read_page
from lookalike.domain import reasons
from lookalike.domain.pages_addresses import AGENT, robot_rules
from lookalike.domain.pages_crawl import CrawlPlan, bare_site

MOST_FLYING: Final = 32
"""Requests that Scrapy holds at once; the rest waits in the crawl's state."""

MOST_FETCHED_BYTES: Final = 32 << 20
_HERE: Final = "lookalike.adapters.source_crawl_guard"


class PictureSpider(Spider):
    """Crawls by a plan; each answer is kept before the next request is made."""

    name = AGENT

    def __init__(self, plan: CrawlPlan, spool: CrawlSpool) -> None:
        super().__init__()
        self._plan = plan
        self._spool = spool
        self._flying = 0
        self._is_stopping = False

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> PictureSpider:
        """Make the spider and have it asked for more whenever Scrapy is idle."""
        made = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(made.on_idle, signal=signals.spider_idle)
        return made

    async def start(self) -> AsyncIterator[Request]:
        """Yield the first requests."""
        for request in self._more():
            yield request

    def on_idle(self) -> None:
        """Ask for more, or wait for the indexer; where nothing is left the crawl ends."""
        requests = self._more()
        engine = cast("Any", self.crawler.engine)
        for request in requests:
            engine.crawl(request)
        if requests or (self._spool.is_full() and not self._is_stopping):
            raise DontCloseSpider

    def stop_asking(self) -> None:
        """Make no more requests; what is under way is kept when it comes."""
        self._is_stopping = True

    def closed(self, reason: str) -> None:
        """Note whether everything was done; Scrapy calls this at the end."""
        if reason == "finished" and not self._is_stopping:
            self._spool.finish()

    def parse_page(self, response: Response) -> Iterator[Request]:
        """Keep what a page says, and go on with its pictures and links."""
        request = self._landed(response)
        plan = self._plan
        media = _media(response)
        if not media.startswith(("text/html", "application/xhtml")):
            self._spool.add_failure(request, reasons.NOT_AN_IMAGE, f"{media}, not a page")
        elif plan.is_same_site and bare_site(response.url) not in plan.sites:
            self._spool.add_failure(request, "off-site", f"it redirects to {response.url}")
        else:
            _, _, charset = media.partition("charset=")
            page = read_page(
                response.body, response.url, charset=charset, headers=_robots(response)
            )
            may_follow = page.rules.may_follow or not plan.is_opt_out_honoured
            links = page.links if may_follow and request.depth < plan.depth else ()
            self._spool.add_page(
                request,
                page,
                (link for link in links if plan.may_follow(link)),
                is_opt_out_honoured=plan.is_opt_out_honoured,
            )
        yield from self._more()

    def parse_image(self, response: Response) -> Iterator[Request]:
        """Keep a picture."""
        request = self._landed(response)
        rules = robot_rules(_robots(response))
        if self._plan.is_opt_out_honoured and not rules.may_take_images:
            self._spool.add_failure(request, reasons.OPTED_OUT, "its server asks not to index it")
        elif _media(response).startswith("text/html"):
            self._spool.add_failure(request, reasons.NOT_AN_IMAGE, "a web page, not a picture")
        elif not response.body:
            self._spool.add_failure(request, reasons.EMPTY, "an empty body")
        else:
            self._spool.add_image(request, response.body)
        yield from self._more()

    def failed(self, failure: Failure) -> Iterator[Request]:
        """Note why something could not be had."""
        self._flying -= 1
        asked = cast("Request", cast("Any", failure).request)
        request = cast("CrawlRequest", asked.meta["asked"])
        if not self._is_stopping:  # what a stop cuts off is asked for again
            self._spool.add_failure(request, *_reason_of(failure))
        yield from self._more()

    def _landed(self, response: Response) -> CrawlRequest:
        self._flying -= 1
        return cast("CrawlRequest", response.meta["asked"])

    def _more(self) -> list[Request]:
        room = MOST_FLYING - self._flying
        if self._is_stopping or room <= 0 or self._spool.is_full():
            return []
        due = self._spool.due(self._plan, room)
        self._flying += len(due)
        return [self._request(one) for one in due]

    def _request(self, one: CrawlRequest) -> Request:
        is_page = one.kind == "page"
        return Request(
            one.url,
            callback=self.parse_page if is_page else self.parse_image,
            errback=self.failed,
            headers={"Accept": "text/html,*/*;q=0.1" if is_page else "image/*,*/*;q=0.1"},
            meta={"asked": one},
            dont_filter=True,  # the crawl's state knows what was asked for
        )


def scrapy_settings(plan: CrawlPlan, log: Path) -> dict[str, Any]:
    """Return Scrapy's settings for a plan."""
    contact = f"; {plan.contact}" if plan.contact else ""
    return {
        "USER_AGENT": f"Lookalike/0.1 (image search crawler{contact})",
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": AGENT,
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            f"{_HERE}.GuardMiddleware": 50,
            f"{_HERE}.Robots": 100,
        },
        "EXTENSIONS": {
            "scrapy.extensions.throttle.AutoThrottle": None,
            f"{_HERE}.PoliteThrottle": 0,
        },
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": plan.delay_s,
        "DOWNLOAD_DELAY": plan.delay_s,
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 2,
        "TWISTED_DNS_RESOLVER": f"{_HERE}.GuardedResolver",
        "DNS_TIMEOUT": 10,
        "DOWNLOAD_TIMEOUT": 30,
        "DOWNLOAD_MAXSIZE": MOST_FETCHED_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": 5,
        "RETRY_TIMES": 2,
        "RETRY_HTTP_CODES": [429, 500, 502, 503, 504],
        "METAREFRESH_ENABLED": False,
        "HTTPPROXY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "DEFAULT_REQUEST_HEADERS": {"Accept-Language": "*;q=0.5"},
        "LOOKALIKE_ALLOW": list(plan.allow),
        "LOG_FILE": str(log),
        "LOG_LEVEL": "WARNING",
    }


def _media(response: Response) -> str:
    raw = response.headers.get(b"Content-Type") or b"application/octet-stream"
    return raw.decode("latin-1").strip().lower()


def _robots(response: Response) -> list[str]:
    return [value.decode("latin-1") for value in response.headers.getlist(b"X-Robots-Tag")]


def _reason_of(failure: Failure) -> tuple[str, str]:
    error = failure.value
    detail = f"{type(error).__name__}: {error}"[:200]
    if isinstance(error, BlockedAddressError):
        return reasons.BLOCKED_ADDRESS, str(error)
    if isinstance(error, IgnoreRequest) and isinstance(error, HttpError):
        return reasons.FETCH_FAILED, f"HTTP {error.response.status}"
    if isinstance(error, IgnoreRequest):
        is_robots = str(error).startswith("Forbidden by robots.txt")
        return (reasons.OPTED_OUT if is_robots else reasons.FETCH_FAILED), str(error)[:200]
    name = type(error).__name__
    if "Timeout" in name:
        return reasons.FETCH_TIMEOUT, detail
    return (reasons.TOO_MANY_BYTES if "Cancel" in name else reasons.FETCH_FAILED), detail
