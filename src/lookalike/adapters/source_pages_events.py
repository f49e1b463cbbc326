"""The events of a page as it is parsed, gathered into pictures, blocks of text and captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lookalike.adapters.source_pages_images import (
    Picture,
    background_address,
    files_of_image,
    poster_of_video,
)
from lookalike.adapters.source_pages_meta import PageHead, SchemaItem
from lookalike.adapters.source_pages_words import Block, Caption, LicenceLink, PageWords
from lookalike.domain.pages import MOST_LINKS, MOST_MENTIONS, MOST_SAID, Page, merge_mentions
from lookalike.domain.pages_addresses import resolve, robot_rules, why_skipped
from lookalike.domain.pages_schema import parse_json_ld, schema_date, schema_mentions

BLOCKS: Final = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details",
    "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2",
    "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip
"""Elements that begin and end a block of text."""

SILENT: Final = frozenset((
    "script", "style", "template", "noscript", "nav", "footer", "aside", "form", "button",
    "select", "textarea", "svg", "iframe", "object", "math", "title", "menu",
))  # fmt: skip
"""Elements whose text is no text of the page."""

_SILENT_ROLES: Final = frozenset(
    ("navigation", "banner", "contentinfo", "search", "menu", "complementary")
)
_BOILERPLATE: Final = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|breadcrumbs?|cookies?|sidebar|share|social|comments?"
    r"|related|newsletter|promo|advert|ads?|skip-link)(?:$|[\s_-])"
)
_CAPTION: Final = re.compile(
    r"(?:^|[\s_-])(?:caption|captions|wp-caption-text|thumbcaption|gallerytext|legend|credit"
    r"|credits|image-description|photo-credit)(?:$|[\s_-])"
)
_HEADINGS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BESIDE: Final = frozenset(("small", "em", "i", "cite"))
_THROUGH: Final = frozenset(("a", "br", "picture", "img", "source", "noscript", "span", "amp-img"))
_VOID: Final = frozenset(("img", "source", "meta", "link", "base", "br", "hr", "input", "amp-img"))
_CC: Final = "creativecommons.org/"
_MOST_TEXT: Final = 1 << 21
_MOST_CAPTURES: Final = 16
_MOST_JSON: Final = 1 << 20
_MOST_SCRIPTS: Final = 64
_ATTRIBUTE: Final = 8192
_SPACES: Final = re.compile(r"\s+")
_SAVED_FROM: Final = re.compile(r"\s*saved from url=\(\d{1,5}\)(\S{1,4000})")


@dataclass(slots=True)
class _Capture:
    """Text that is gathered for one purpose while an element is open."""

    kind: str
    name: str = ""
    parts: list[str] = field(default_factory=list[str])
    length: int = 0

    @property
    def text(self) -> str:
        return _SPACES.sub(" ", "".join(self.parts)).strip()


@dataclass(slots=True)
class _Open:
    """An element that is open: what stood before it, and what its end has to undo."""

    tag: str
    block: int
    image: int
    is_silent: bool = False
    captures: int = 0
    item: SchemaItem | None = None


class PageEvents:
    """A target of lxml's parser: `start`, `end`, `data`, `comment` and `close`."""

    def __init__(self, url: str, headers: Sequence[str], wanted: Collection[str]) -> None:
        """Begin a page; `wanted` are the ids whose text other elements refer to."""
        self._url = url
        self._base = url
        self._headers = list(headers)
        self._head = PageHead()
        self._open: list[_Open] = []
        self._silence = 0
        self._noscripts = 0
        self._captures: list[_Capture] = []
        self._buffer: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._images: list[Picture] = []
        self._captions: list[Caption] = []
        self._licences: list[LicenceLink] = []
        self._wanted = wanted
        self._described: dict[str, str] = {}
        self._anchor = ""
        self._files: list[str] = []
        self._links: dict[str, None] = {}
        self._script: list[str] | None = None
        self._scripts: list[str] = []
        self._script_length = 0
        self._items: list[SchemaItem] = []
        self._item: list[SchemaItem] = []
        self._is_beside = False
        self._skipped: Counter[str] = Counter()

    # ── what lxml calls ──────────────────────────────────────────────────────────────────────

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take in the beginning of an element."""
        if tag in BLOCKS:
            self._flush()
        one = _Open(tag, len(self._blocks), len(self._images))
        values = {name: (value or "")[:_ATTRIBUTE] for name, value in attributes.items()}
        self._is_beside = self._is_beside and (tag in _BESIDE or tag in _THROUGH)
        if values:
            self._look_at_attributes(one, tag, values)
        one.is_silent = tag in SILENT or _is_aside(values)
        if tag == "figcaption":
            self._capture(one, "caption")
        elif tag in _BESIDE and self._is_beside:
            self._capture(one, "beside")
        elif tag == "title" and not self._head.title:
            self._capture(one, "title")
        self._silence += one.is_silent
        self._noscripts += tag == "noscript"
        self._open.append(one)

    def end(self, tag: str) -> None:
        """Take in the end of an element; one that was never begun is passed over."""
        if not self._open:
            return
        if tag in BLOCKS:
            self._flush()
        one = self._open.pop()
        self._silence -= one.is_silent
        self._noscripts -= tag == "noscript"
        if tag == "a":
            self._anchor = ""
        elif tag == "picture":
            self._files = []
        elif tag == "script" and self._script is not None:
            self._scripts.append("".join(self._script))
            self._script = None
        for _ in range(one.captures):
            self._captured(one, self._captures.pop())
        if one.item is not None:
            self._end_item(one.item)
        count = len(self._images) - one.image
        if tag in BLOCKS and count == 1 and not one.is_silent:
            self._images[one.image].scope = (one.block, len(self._blocks))
        if tag == "figure":
            for image in self._images[one.image :]:
                image.figure = (one.block, len(self._blocks))
        if tag not in _THROUGH:
            self._is_beside = False

    def data(self, text: str) -> None:
        """Take in text."""
        if self._script is not None:
            if self._script_length < _MOST_JSON:
                self._script.append(text)
                self._script_length += len(text)
            return
        if self._is_beside and not text.isspace():
            self._is_beside = any(one.kind == "beside" for one in self._captures)
        for capture in self._captures:
            if capture.length <= 2 * MOST_SAID:
                capture.parts.append(text)
                capture.length += len(text)
        if self._silence == 0 and self._length < _MOST_TEXT:
            self._buffer.append(text)
            self._length += len(text)

    def comment(self, text: str) -> None:
        """Take in a comment: browsers write there where they saved a page from."""
        if not self._head.origin and (match := _SAVED_FROM.match(text[:5000])):
            self._head.origin = match[1]

    def close(self) -> None:
        """End the page."""
        self._flush()

    # ── what becomes of it ───────────────────────────────────────────────────────────────────

    def page(self) -> Page:
        """Return what the page says."""
        self._flush()
        words = PageWords(self._blocks, self._captions, self._licences, self._described)
        page_licence = words.page_licence(self._images)
        values = [parse_json_ld(script) for script in self._scripts]
        published = self._head.published
        for value in values:
            published = schema_date(value) if published is None else published
        found = [words.mention(image, page_licence, published) for image in self._images]
        found.extend(self._head.mentions(self._resolve, page_licence, published))
        for value in (*values, *(item.to_json() for item in self._items)):
            found.extend(schema_mentions(value, self._resolve))
        merged = merge_mentions(found)
        origin = next(filter(None, map(self._resolve, self._head.origins())), "")
        return Page(
            url=self._url,
            title=self._head.shown_title,
            origin=origin if origin.startswith("http") else "",
            rules=robot_rules([*self._headers, *self._head.robots]),
            mentions=merged[:MOST_MENTIONS],
            links=tuple(self._links),
            skipped=dict(self._skipped),
        )

    def _resolve(self, reference: str) -> str:
        return resolve(self._base, reference)

    # ── elements ─────────────────────────────────────────────────────────────────────────────

    def _look_at_attributes(self, one: _Open, tag: str, values: dict[str, str]) -> None:
        if tag in {"img", "amp-img"}:
            self._add_image(files_of_image(values, self._files, self._anchor), values)
        elif tag == "source" and "srcset" in values:
            if not values.get("type", "").startswith(("image/svg", "image/jxl")):
                self._files.extend(files_of_image({"srcset": values["srcset"]}, (), ""))
        elif tag == "video":
            self._add_image(poster_of_video(values), values)
        elif tag in {"a", "area"}:
            self._add_link(values)
        elif tag == "base" and self._base == self._url:
            self._base = resolve(self._url, values.get("href", "")) or self._url
        elif tag in {"meta", "link", "time"}:
            self._head.take(tag, values)
        elif tag == "script" and "ld+json" in values.get("type", ""):
            if len(self._scripts) < _MOST_SCRIPTS:
                self._script = []
        elif address := background_address(values):
            self._add_image([address], values)
        if tag in {"a", "link"} and values.get("href"):
            self._add_licence(tag, values)
        if _CAPTION.search(values.get("class", "").lower()) and tag != "figcaption":
            self._capture(one, "caption")
        if (name := values.get("id", "")) in self._wanted:
            self._capture(one, "id", name)
        if "itemscope" in values or "itemprop" in values:
            self._look_at_item(one, tag, values)

    def _add_image(self, files: Sequence[str], values: Mapping[str, str]) -> None:
        if not files:
            return
        if len(self._images) >= MOST_MENTIONS:
            self._skipped["over-the-bound"] += 1
            return
        resolved = dict.fromkeys(filter(None, map(self._resolve, files)))
        kept = [address for address in resolved if not why_skipped(address, values)]
        if not kept:
            self._skipped[why_skipped(next(iter(resolved), ""), values)] += 1
        elif any(one.tag == "template" for one in self._open[-8:]):
            self._skipped["template"] += 1
        elif self._images and not set(kept).isdisjoint(self._images[-1].addresses):
            self._images[-1].take(kept, values)  # once more, for those without scripts
        else:
            one = Picture(tuple(kept), dict(values), len(self._blocks))
            one.is_aside = self._silence > self._noscripts
            self._images.append(one)
            self._is_beside = True

    def _add_link(self, values: Mapping[str, str]) -> None:
        self._anchor = values.get("href", "")
        if "nofollow" in values.get("rel", "").lower() or len(self._links) >= MOST_LINKS:
            return
        address = self._resolve(self._anchor) if self._anchor[:1] not in {"", "#"} else ""
        if address.startswith("http"):
            self._links[address] = None

    def _add_licence(self, tag: str, values: Mapping[str, str]) -> None:
        is_stated = "license" in values.get("rel", "").lower().split()
        href = values["href"]
        if not (is_stated or _CC in href) or len(self._licences) >= MOST_LINKS:
            return
        at = -1 if tag == "link" else len(self._blocks)
        self._licences.append(LicenceLink(href, at, is_stated, self._silence > 0))

    def _look_at_item(self, one: _Open, tag: str, values: Mapping[str, str]) -> None:
        """Follow microdata: an item's properties are put as JSON-LD would put them."""
        if "itemscope" in values:
            one.item = SchemaItem(values.get("itemtype", ""), values.get("itemprop", ""))
            self._item.append(one.item)
        elif self._item:
            item, name = self._item[-1], values["itemprop"]
            for attribute in ("content", "href", "src", "datetime"):
                if values.get(attribute):
                    item.add(name, values[attribute])
                    return
            if tag not in _VOID:
                self._capture(one, "property", name)

    def _end_item(self, item: SchemaItem) -> None:
        self._item.pop()
        if item.name and self._item:
            self._item[-1].add(item.name, item.to_json())
        elif len(self._items) < MOST_LINKS:
            self._items.append(item)

    # ── text ─────────────────────────────────────────────────────────────────────────────────

    def _capture(self, one: _Open, kind: str, name: str = "") -> None:
        if len(self._captures) < _MOST_CAPTURES and one.tag not in _VOID:
            self._captures.append(_Capture(kind, name))
            one.captures += 1

    def _captured(self, one: _Open, capture: _Capture) -> None:
        text = capture.text
        if not text:
            return
        if capture.kind == "title":
            self._head.title = text
        elif capture.kind == "id":
            self._described.setdefault(capture.name, text[:MOST_SAID])
        elif capture.kind == "property":
            if self._item:
                self._item[-1].add(capture.name, text)
        elif capture.kind == "caption":
            self._captions.append(Caption(text[:MOST_SAID], one.block, len(self._images)))
        elif self._images:
            self._images[-1].beside = text[:MOST_SAID]

    def _flush(self) -> None:
        """End the block of text that is being read."""
        if not self._buffer:
            return
        text = _SPACES.sub(" ", "".join(self._buffer)).strip()
        self._buffer = []
        if text:
            is_heading = bool(self._open) and self._open[-1].tag in _HEADINGS
            self._blocks.append(Block(text, is_heading=is_heading))


def _is_aside(values: Mapping[str, str]) -> bool:
    """Tell whether an element is hidden, or is no part of what the page is about."""
    return (
        "hidden" in values
        or values.get("aria-hidden") == "true"
        or values.get("role", "") in _SILENT_ROLES
        or _BOILERPLATE.search(values.get("class", "").lower()) is not None
    )
