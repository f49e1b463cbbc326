"""Which of a page's words belong to which of its pictures."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lookalike.domain.licences import UNKNOWN, normalise_licence
from lookalike.domain.pages import MOST_SAID, ImageMention, clip

if TYPE_CHECKING:
    from lookalike.adapters.source_pages_images import Picture

BEFORE: Final = 300
AFTER: Final = 500
"""Characters of text that are kept from before and from after a picture."""

_REACH: Final = 40
"""Blocks before a picture among which its heading is looked for."""

_NEAR: Final = 3
"""Blocks within which a link to a Creative Commons licence speaks of a picture."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page's text."""

    text: str
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption, the block it begins at, and how many pictures came before its end."""

    text: str
    at: int
    images: int


@dataclass(frozen=True, slots=True)
class LicenceLink:
    """A link to a licence; `at` is its block, -1 for one of the page's head."""

    href: str
    at: int
    is_stated: bool
    is_silent: bool


class PageWords:
    """Finds the words of pictures by where they stand: each look-up is bounded."""

    def __init__(
        self,
        blocks: Sequence[Block],
        captions: Sequence[Caption],
        licences: Sequence[LicenceLink],
        described: Mapping[str, str],
    ) -> None:
        self._blocks = blocks
        self._captions = sorted(captions, key=lambda caption: caption.at)
        self._caption_places = [caption.at for caption in self._captions]
        self._licences = sorted(licences, key=lambda link: link.at)
        self._licence_places = [link.at for link in self._licences]
        self._described = described

    def mention(self, image: Picture, page_licence: str, published: float | None) -> ImageMention:
        """Return what the page says of a picture that it shows."""
        values = image.attributes
        caption = self._caption(image)
        return ImageMention(
            addresses=image.addresses,
            alt_text=clip(values.get("alt", "") or values.get("aria-label", ""), MOST_SAID),
            title=clip(values.get("title", ""), MOST_SAID),
            caption=clip(caption, MOST_SAID),
            text=self._around(image, caption),
            licence=self._licence(image) or page_licence,
            taken=published,
        )

    def page_licence(self, images: Sequence[Picture]) -> str:
        """Return the licence that is stated for the page whole, by no picture's side."""
        taken = {link for image in images for link in self._links_near(image)}
        for link in self._licences:
            if link.is_stated and link not in taken:
                return normalise_licence(link.href)
        return UNKNOWN

    def _caption(self, image: Picture) -> str:
        """Return the caption of a picture's figure, or that which it names, or stands near."""
        lines: list[str] = []
        for name in ("aria-describedby", "aria-labelledby"):
            keys = image.attributes.get(name, "").split()[:4]
            lines += [self._described[key] for key in keys if key in self._described]
        if data := image.attributes.get("data-caption", ""):
            lines.append(data)
        ranges = [image.scope] if image.figure[0] < 0 else [image.figure, image.scope]
        for low, high in ranges:
            start = bisect_left(self._caption_places, low)
            end = bisect_right(self._caption_places, high)
            inside = self._captions[start : min(end, start + 4)]
            lines += [each.text for each in inside if low <= each.at < max(high, low + 1)]
            if lines:
                break
        if not lines and image.beside:
            lines.append(image.beside)
        return "\n".join(dict.fromkeys(lines))

    def _around(self, image: Picture, caption: str) -> str:
        """Return the text around a picture.

        That is the text of the largest element that holds no other picture, as the card of a
        gallery does; where that has none, the nearest blocks of the page. The heading above the
        picture comes first.
        """
        if image.is_aside:
            return ""
        low, high = image.scope
        text = self._pieces(image.at, max(0, low), min(high, len(self._blocks)), caption)
        if not text:
            reach = range(max(0, image.at - 2), min(len(self._blocks), image.at + 2))
            text = self._pieces(image.at, reach.start, reach.stop, caption)
        for at in range(min(image.at, len(self._blocks)) - 1, max(-1, image.at - _REACH), -1):
            if self._blocks[at].is_heading:
                heading = clip(self._blocks[at].text, BEFORE)
                return text if heading in text else f"{heading}\n{text}".strip()
        return text

    def _pieces(self, at: int, low: int, high: int, caption: str) -> str:
        """Return blocks from `low` up to `high`, the nearest to block `at` first to be kept."""
        before: list[str] = []
        left = BEFORE
        for number in range(min(at, high) - 1, low - 1, -1):
            if left <= 0 or at - number > _REACH:
                break
            if (text := self._blocks[number].text) not in caption:
                before.append(clip(text, left, is_end=True))
                left -= len(text)
        after: list[str] = []
        left = AFTER
        for number in range(max(at, low), min(high, at + _REACH)):
            if left <= 0:
                break
            if (text := self._blocks[number].text) not in caption:
                after.append(clip(text, left))
                left -= len(text)
        return "\n".join((*reversed(before), *after))

    def _licence(self, image: Picture) -> str:
        """Return the licence that is stated at a picture, or an empty string."""
        links = self._links_near(image)
        return normalise_licence(links[0].href) if links else ""

    def _links_near(self, image: Picture) -> list[LicenceLink]:
        low, high = image.figure if image.figure[0] >= 0 else image.scope
        high = max(high, low + 1)
        start = bisect_left(self._licence_places, max(0, low))
        near: list[LicenceLink] = []
        for link in self._licences[start : start + 8]:
            is_inside = low <= link.at < high and not link.is_silent
            if is_inside and abs(link.at - image.at) <= _NEAR:
                near.append(link)
        return near
