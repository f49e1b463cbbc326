"""What the head of a page says: titles, robots, dates, Open Graph; and items of microdata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lookalike.domain.pages import MOST_SAID, MOST_TEXT, ImageMention, clip
from lookalike.domain.source_rows import clean_text, parse_taken

_IMAGES: Final = frozenset(
    ("og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src")
)
_ALTS: Final = frozenset(("og:image:alt", "twitter:image:alt"))
_DATES: Final = frozenset((
    "article:published_time", "datepublished", "date", "dc.date", "dcterms.created",
    "dc.date.issued", "pubdate", "parsely-pub-date", "sailthru.date",
))  # fmt: skip
_ROBOTS: Final = frozenset(("robots", "lookalike"))
_MOST: Final = 64
_MOST_PROPERTIES: Final = 200


@dataclass(slots=True)
class PageHead:
    """What stands in a page's head, gathered as it comes."""

    title: str = ""
    og_title: str = ""
    description: str = ""
    origin: str = ""
    canonical: str = ""
    og_url: str = ""
    published: float | None = None
    robots: list[str] = field(default_factory=list[str])
    images: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def shown_title(self) -> str:
        """The page's title, that of Open Graph where there is no other."""
        return clip(clean_text(self.title or self.og_title), MOST_SAID)

    def origins(self) -> tuple[str, ...]:
        """Return where the page says that it lives, the surest first."""
        return self.origin, self.canonical, self.og_url

    def take(self, tag: str, values: Mapping[str, str]) -> None:
        """Take in a `<meta>`, `<link>` or `<time>`."""
        if tag == "link":
            self._take_link(values)
        elif tag == "time":
            if "pubdate" in values or values.get("itemprop") == "datePublished":
                self._date(values.get("datetime", ""))
        else:
            name = values.get("property") or values.get("name") or values.get("itemprop") or ""
            self._take_meta(name.strip().lower(), values.get("content", "").strip())

    def mentions(
        self, resolve: Callable[[str], str], licence: str, published: float | None
    ) -> Iterator[ImageMention]:
        """Yield the pictures of Open Graph, Twitter cards and `image_src`, each address once."""
        alts: dict[str, str] = {}
        for reference, alt in self.images:
            if address := resolve(reference):
                alts[address] = alts.get(address, "") or alt
        for address, alt in alts.items():
            yield ImageMention(
                addresses=(address,),
                alt_text=clip(alt, MOST_SAID),
                title=clip(self.og_title, MOST_SAID),
                text=clip(self.description, MOST_TEXT),
                licence=licence,
                taken=published,
            )

    def _take_link(self, values: Mapping[str, str]) -> None:
        relation, href = values.get("rel", "").lower().split(), values.get("href", "")
        if "canonical" in relation and not self.canonical:
            self.canonical = href
        elif "image_src" in relation and len(self.images) < _MOST:
            self.images.append((href, ""))

    def _take_meta(self, name: str, content: str) -> None:
        if not content:
            return
        if name in _ROBOTS:
            self.robots.append(content)
        elif name == "tdm-reservation" and content == "1":  # W3C's TDM Reservation Protocol
            self.robots.append("noai")
        elif name in _IMAGES:
            if len(self.images) < _MOST:
                self.images.append((content, ""))
        elif name in _ALTS and self.images:
            self.images[-1] = (self.images[-1][0], self.images[-1][1] or content)
        elif name == "og:title":
            self.og_title = self.og_title or content
        elif name in {"og:description", "description", "twitter:description"}:
            self.description = self.description or content
        elif name == "og:url":
            self.og_url = self.og_url or content
        elif name in _DATES:
            self._date(content)

    def _date(self, text: str) -> None:
        if self.published is None:
            self.published = parse_taken(text[:64])


@dataclass(slots=True)
class SchemaItem:
    """An item of microdata; `name` is the property of an outer item that it stands for."""

    kind: str
    name: str
    properties: dict[str, object] = field(default_factory=dict[str, object])

    def add(self, name: str, value: object) -> None:
        """Add a property; the first value of each name is kept."""
        if len(self.properties) < _MOST_PROPERTIES:
            self.properties.setdefault(name.partition(" ")[0], value)

    def to_json(self) -> dict[str, object]:
        """Return the item as JSON-LD would put it."""
        return {"@type": self.kind.strip(), **self.properties}
