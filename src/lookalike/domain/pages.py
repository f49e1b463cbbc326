"""What a web page says of the pictures on it, and how several pages' words become sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lookalike.domain.images import Source
from lookalike.domain.licences import UNKNOWN
from lookalike.domain.source_rows import stamp_texts
from lookalike.domain.sources import site_of

MOST_MENTIONS: Final = 10_000
"""Pictures of one page that are looked at."""

MOST_LINKS: Final = 10_000
"""Links of one page that are remembered."""

MOST_SITES: Final = 8
"""Sites whose words of one picture are kept, each as a source of its own."""

MOST_PAGES: Final = 8
"""Pages of one site whose words of one picture are joined."""

MOST_SAID: Final = 2_000
"""Characters kept of an alt text, a title or a caption."""

MOST_TEXT: Final = 4_000
"""Characters kept of the text around a picture."""


@dataclass(frozen=True, slots=True)
class RobotRules:
    """What a page, or the server of a picture, asks of robots."""

    may_index: bool = True
    may_follow: bool = True
    may_take_images: bool = True

    def __and__(self, other: RobotRules) -> RobotRules:
        """Return what both allow."""
        return RobotRules(
            self.may_index and other.may_index,
            self.may_follow and other.may_follow,
            self.may_take_images and other.may_take_images,
        )


@dataclass(frozen=True, slots=True)
class ImageMention:
    """One picture as a page shows it.

    `addresses` are the files it is offered as, the best one first (a large version, then what
    `srcset` has, then the thumbnail that is shown). `text` is what stands around it; `licence` is
    as in `domain.licences`; `taken` is the date that is stated, in seconds since the epoch.
    """

    addresses: tuple[str, ...]
    alt_text: str = ""
    title: str = ""
    caption: str = ""
    text: str = ""
    author: str = ""
    licence: str = UNKNOWN
    taken: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What is read from one page.

    `origin` is the address that a saved page states as its own. `skipped` counts, by cause, what
    looks like a picture and is none (icons, tracking pixels, pictures inside the page).
    """

    url: str
    title: str = ""
    origin: str = ""
    rules: RobotRules = field(default_factory=RobotRules)
    mentions: tuple[ImageMention, ...] = ()
    links: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Sighting:
    """One picture on one page, as it is kept until the picture itself is met."""

    page_url: str
    page_title: str
    mention: ImageMention

    def to_json(self) -> str:
        """Return the sighting as one line, without the addresses."""
        said = self.mention
        return json.dumps(
            [
                self.page_url, self.page_title, said.alt_text, said.title, said.caption,
                said.text, said.author, said.licence, said.taken,
            ],
            ensure_ascii=False,
        )  # fmt: skip

    @classmethod
    def from_json(cls, line: str) -> Sighting:
        """Read what `to_json` wrote."""
        page_url, page_title, alt, title, caption, text, author, licence, taken = json.loads(line)
        said = ImageMention((), alt, title, caption, text, author, licence, taken)
        return cls(page_url, page_title, said)


def clip(text: str, most: int, *, is_end: bool = False) -> str:
    """Return at most `most` characters, cut between words; `is_end` keeps the end.

    >>> clip("one two three", 8)
    'one two'
    >>> clip("one two three", 8, is_end=True)
    'three'
    """
    text = text.strip()
    if len(text) <= most:
        return text
    if is_end:
        return text[-most - 1 :].partition(" ")[2].strip() or text[-most:]
    return text[: most + 1].rpartition(" ")[0].strip() or text[:most]


def merge_mentions(mentions: Iterable[ImageMention]) -> tuple[ImageMention, ...]:
    """Join the mentions of one page that share an address, in the order they first come."""
    merged: list[ImageMention] = []
    place: dict[str, int] = {}
    for mention in mentions:
        known = [place[address] for address in mention.addresses if address in place]
        at = known[0] if known else len(merged)
        if known:
            merged[at] = _joined_mention(merged[at], mention)
        else:
            merged.append(mention)
        for address in mention.addresses:
            place.setdefault(address, at)
    return tuple(merged)


def sources_of_sightings(
    url: str, sightings: Sequence[Sighting], *, uri: str = "", fingerprint: str = ""
) -> tuple[Source, ...]:
    """Return a source for each site whose pages show the picture, the picture's own site first.

    The first source has the picture's `uri` (its URL, if none is given), the others
    `uri#from=SITE`. The words of several pages of one site are joined, each line once; the first
    page is the one that is named. A picture that no page mentions has one source without words.
    """
    uri = uri or url
    groups: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        group = groups.setdefault(site_of(sighting.page_url), [])
        if len(group) < MOST_PAGES:
            group.append(sighting)
    own = site_of(url)
    sites = sorted(groups, key=lambda site: site != own)[:MOST_SITES]
    if not sites:
        return (stamp_texts(Source(uri=uri, fingerprint=fingerprint, site=own)),)
    return tuple(
        _source_of_group(
            groups[site],
            Source(uri=f"{uri}#from={site}" if at else uri, fingerprint=fingerprint, site=own),
        )
        for at, site in enumerate(sites)
    )


def _source_of_group(group: Sequence[Sighting], bare: Source) -> Source:
    said = [sighting.mention for sighting in group]
    titles = _lines([each.title for each in said], MOST_SAID)
    pages = _lines([sighting.page_title for sighting in group], MOST_SAID)
    around = [each.text for each in said] + [each.author for each in said]
    stated = [each.taken for each in said if each.taken is not None]
    return stamp_texts(
        replace(
            bare,
            page_url=group[0].page_url,
            site=site_of(group[0].page_url) or bare.site,
            title=titles or pages,
            alt_text=_lines([each.alt_text for each in said], MOST_SAID),
            caption=_lines([each.caption for each in said], MOST_SAID),
            page_text=_lines([pages if titles else "", *around], MOST_TEXT),
            licence=next((each.licence for each in said if each.licence != UNKNOWN), UNKNOWN),
            taken=min(stated, default=None),
        )
    )


def _joined_mention(first: ImageMention, second: ImageMention) -> ImageMention:
    return ImageMention(
        addresses=tuple(dict.fromkeys((*first.addresses, *second.addresses))),
        alt_text=_lines([first.alt_text, second.alt_text], MOST_SAID),
        title=_lines([first.title, second.title], MOST_SAID),
        caption=_lines([first.caption, second.caption], MOST_SAID),
        text=_lines([first.text, second.text], MOST_TEXT),
        author=_lines([first.author, second.author], MOST_SAID),
        licence=second.licence if first.licence == UNKNOWN else first.licence,
        taken=second.taken if first.taken is None else first.taken,
    )


def _lines(texts: Iterable[str], most: int) -> str:
    """Join texts by lines, each line once."""
    lines = dict.fromkeys(line for text in texts for line in text.split("\n") if line)
    return clip("\n".join(lines), most)
