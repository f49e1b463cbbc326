"""What a crawl may do, and which links it follows."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from lookalike.domain.errors import UsageError
from lookalike.domain.pages_addresses import resolve
from lookalike.domain.sources import IMAGE_SUFFIXES, is_url, site_of, suffix_of

MOST_URL: Final = 2048
_MOST_SEGMENTS: Final = 24
_MOST_REPEATS: Final = 3
_MOST_PARAMETERS: Final = 12
_NO_PAGES: Final = IMAGE_SUFFIXES | frozenset((
    ".pdf", ".zip", ".gz", ".tgz", ".7z", ".rar", ".tar", ".exe", ".dmg", ".iso", ".mp3", ".mp4",
    ".webm", ".avi", ".mov", ".ogg", ".wav", ".css", ".js", ".json", ".rss", ".woff", ".woff2",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """Where a crawl begins and how far it goes.

    `depth` counts links from the first pages (0: these alone). `delay_s` is the least time
    between two requests to one host; a longer Crawl-delay of its robots.txt wins, and so does a
    host that answers slowly. `allow` is as in `domain.addresses.AllowList`. `contact` is an
    address or a URL for those who run the sites.
    """

    starts: tuple[str, ...]
    depth: int = 2
    most_pages: int = 1_000
    most_images: int = 10_000
    most_bytes: int = 4 << 30
    delay_s: float = 1.0
    is_same_site: bool = True
    allow: tuple[str, ...] = ()
    contact: str = ""
    is_opt_out_honoured: bool = True

    def to_json(self) -> str:
        """Return the plan as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> CrawlPlan:
        """Read what `to_json` wrote."""
        values = json.loads(line)
        values["starts"], values["allow"] = tuple(values["starts"]), tuple(values["allow"])
        return cls(**values)

    @property
    def sites(self) -> frozenset[str]:
        """The sites of the first pages, without `www.`."""
        return frozenset(bare_site(url) for url in self.starts)

    def may_follow(self, url: str) -> bool:
        """Tell whether a link may be a page of this crawl."""
        if self.is_same_site and bare_site(url) not in self.sites:
            return False
        return not is_trap(url) and suffix_of(urlsplit(url).path) not in _NO_PAGES


def start_urls(names: list[str]) -> tuple[str, ...]:
    """Return the first pages of a crawl as absolute URLs; a bare host name is taken for https.

    Raises:
        UsageError: a name is no URL.
    """
    urls: list[str] = []
    for name in names:
        text = name.strip()
        if re.search(r"\s", text):
            raise _no_url(name)
        url = resolve("", text if is_url(text) else f"https://{text}")
        if not is_url(url) or "://" in text.removeprefix("http://").removeprefix("https://"):
            raise _no_url(name)
        urls.append(url)
    return tuple(dict.fromkeys(urls))


def _no_url(name: str) -> UsageError:
    return UsageError(f"{name!r} is no URL", hint="write https://example.org/gallery")


def bare_site(url: str) -> str:
    """Return the host of a URL without `www.`."""
    return site_of(url).removeprefix("www.")


def is_trap(url: str) -> bool:
    """Tell whether a URL looks as if a site made it without end.

    Such are very long ones, those with a name many times in their path (`/a/b/a/b/a/b`, as a
    relative link that is wrong makes them), and those with very many parameters.
    """
    if len(url) > MOST_URL:
        return True
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    repeats = max(Counter(segments).values(), default=0)
    is_deep = len(segments) > _MOST_SEGMENTS or repeats > _MOST_REPEATS
    return is_deep or parts.query.count("&") >= _MOST_PARAMETERS
