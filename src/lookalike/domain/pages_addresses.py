"""Addresses on web pages: resolving them, `srcset`, what is no content, and robots' directives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from lookalike.domain.pages import RobotRules
from lookalike.domain.sources import IMAGE_SUFFIXES, suffix_of

AGENT: Final = "lookalike"
"""The name under which pages and robots.txt may address this program."""

MOST_ADDRESS: Final = 4096
BEST_WIDTH: Final = 2560
"""The widest file of a `srcset` that is preferred; wider ones cost more than they show."""

SMALLEST_SIDE: Final = 32
"""A picture whose page gives it fewer pixels on a side is an icon."""

_MOST_CANDIDATES: Final = 64
_BEST_DENSITY: Final = 3.0
_SAFE: Final = "%/:=&?~#+!$,;'@()*[]|"
_BLANKS: Final = re.compile(r"[\x00-\x20\x7f]+")
_PLAIN: Final = re.compile(r"https?://[a-z0-9.-]+(?:/(?!\.)[A-Za-z0-9_.~%=,-]*)+")
_SCHEMES: Final = ("http", "https", "file")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_NUMBER: Final = re.compile(r"\s*(\d{1,6})(?:\.\d*)?\s*(?:px)?\s*")
_NO_CONTENT: Final = re.compile(
    r"(?:^|[/_.-])(?:spacer|pixel|blank|transparent|1x1|sprites?|favicon|tracking|beacon|loading"
    r"|spinner|placeholder|clear|dot)(?:[_.-]|\d|$)",
    re.I,
)
_DESCRIBED_PAGE: Final = re.compile(r"/(?:wiki|w)/|/[^/]*:[^/]*$")
_WITH_VALUE: Final = frozenset(
    ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
)


def resolve(base: str, reference: str) -> str:
    """Return the absolute http, https or file address that a page means, or an empty string.

    Written as WARC files and servers see it: no fragment, what is not ASCII in percents, host in
    lower case, no default port.
    """
    if len(reference) <= MOST_ADDRESS and _PLAIN.fullmatch(reference):
        return reference
    reference = _BLANKS.sub(" ", reference).strip()
    if not reference or len(reference) > MOST_ADDRESS:
        return ""
    try:
        parts = urlsplit(urljoin(base, reference.replace("\\", "/")))
        host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, "\0"))
    except ValueError:
        return ""
    if parts.scheme not in _SCHEMES or (parts.scheme != "file" and not host) or "@" in host:
        return ""
    path = quote(_without_dots(parts.path).encode("utf-8", "replace"), safe=_SAFE)
    query = quote(parts.query.encode("utf-8", "replace"), safe=_SAFE)
    return urlunsplit((parts.scheme, host, path or "/", query, ""))


def _without_dots(path: str) -> str:
    """Return a path without `.` and `..` (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            del kept[max(1, len(kept) - 1) :]
        elif part != ".":
            kept.append(part)
    return "/".join(kept) + ("/" if parts[-1] in {".", ".."} else "")


def srcset_addresses(text: str) -> list[str]:
    """Return the files of a `srcset`, the best one first.

    Best is the widest up to 2,560 pixels (or the densest up to 3×), then narrower ones, then
    those that are wider still. Source: the HTML standard's "parse a srcset attribute".

    >>> srcset_addresses("a.jpg 320w, b.jpg 1280w, c.jpg 6000w")
    ['b.jpg', 'a.jpg', 'c.jpg']
    """
    found: list[tuple[tuple[bool, float], str]] = []
    at = 0
    while at < len(text) and len(found) < _MOST_CANDIDATES:
        match = _CANDIDATE.match(text, at)
        if match is None:
            break
        at = match.end()
        url, size = match["url"], 1.0
        is_bare = url.endswith(",")
        if not is_bare:
            described = _DESCRIPTOR.match(text, at)
            assert described is not None
            at = described.end()
            size = _size_of(described["what"])
        found.append(((size > _BEST_DENSITY * 1000, size), url.rstrip(",")))
    fitting = sorted((one for one in found if not one[0][0]), key=lambda one: -one[0][1])
    larger = sorted((one for one in found if one[0][0]), key=lambda one: one[0][1])
    return [url for _, url in (*fitting, *larger) if url]


_CANDIDATE: Final = re.compile(r"[\s,]*(?P<url>[^\s,]\S*)")
_DESCRIPTOR: Final = re.compile(r"(?P<what>[^,]*)(?:,|$)")


def _size_of(descriptor: str) -> float:
    """Return a candidate's size as thousandths of a density; 2,560 pixels count as 3×."""
    for word in descriptor.split():
        try:
            number = float(word[:-1])
        except ValueError:
            continue
        if not 0 < number < 1e6:
            continue
        if word.endswith("w"):
            return number * _BEST_DENSITY * 1000 / BEST_WIDTH
        if word.endswith("x"):
            return number * 1000
    return 1000.0


def is_picture_link(address: str) -> bool:
    """Tell whether the target of a link is a picture's file by its name.

    Pages that describe a picture and end in its name (`/wiki/File:Cat.jpg`) are none.
    """
    path = urlsplit(address).path
    return suffix_of(path) in IMAGE_SUFFIXES and not _DESCRIBED_PAGE.search(unquote(path))


def why_skipped(address: str, attributes: Mapping[str, str]) -> str:
    """Return why a picture of a page is no content, or an empty string.

    `inline`: inside the page itself. `icon`: a side under 32 pixels. `tracking`: a pixel that
    counts visitors. `decoration`: spacers, sprites, placeholders by their name. `vector`: SVG.
    """
    if not address or address[:5].lower() in {"data:", "blob:"}:
        return "inline"
    sides = [
        int(match[1])
        for name in ("width", "height")
        if (match := _NUMBER.fullmatch(attributes.get(name, "")))
    ]
    if sides and max(sides) <= 2:
        return "tracking"
    if sides and min(sides) < SMALLEST_SIDE:
        return "icon"
    name = urlsplit(address).path.rsplit("/", 1)[-1]
    if suffix_of(name) in {".svg", ".svgz"}:
        return "vector"
    return "decoration" if _NO_CONTENT.search(name) else ""


def robot_rules(values: Iterable[str]) -> RobotRules:
    """Return what `<meta name="robots">` contents or `X-Robots-Tag` headers ask for.

    A header may address one robot (`googlebot: noindex`); only those for all and for `lookalike`
    count. `noai` and `noimageai` ask as `noimageindex` does, for the pictures.
    """
    asked: set[str] = set()
    for value in values:
        is_meant = True
        for part in value[:MOST_ADDRESS].lower().split(","):
            name, colon, rest = (each.strip() for each in part.partition(":"))
            if colon and name not in _WITH_VALUE:
                is_meant = name in {AGENT, "*"}
                name = rest
            if is_meant:
                asked.update(name.split())
    is_none = "none" in asked
    return RobotRules(
        may_index=not (is_none or "noindex" in asked),
        may_follow=not (is_none or "nofollow" in asked),
        may_take_images=not (is_none or asked & {"noindex", "noimageindex", "noai", "noimageai"}),
    )
