"""Pictures that a page describes in schema.org's terms: JSON-LD, or microdata put the same way."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from lookalike.domain.licences import RESERVED, UNKNOWN, normalise_licence
from lookalike.domain.pages import MOST_SAID, MOST_TEXT, ImageMention, clip
from lookalike.domain.source_rows import clean_text, parse_taken

_IMAGE_TYPES: Final = frozenset(
    ("ImageObject", "Photograph", "Painting", "Drawing", "VisualArtwork", "ImageObjectSnapshot")
)
_IMAGES: Final = ("image", "primaryImageOfPage", "photo", "photos", "associatedMedia", "thumbnail")
_FILES: Final = ("contentUrl", "url", "thumbnailUrl")
_DATES: Final = ("dateCreated", "datePublished", "uploadDate")
_MOST_NODES: Final = 100_000


def parse_json_ld(text: str) -> object:
    """Return the value of a JSON-LD script, or None where it is not JSON."""
    try:
        return cast("object", json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None


def schema_mentions(value: object, resolve: Callable[[str], str]) -> Iterator[ImageMention]:
    """Yield the pictures that a value describes, with what is said of them.

    An `ImageObject` speaks for itself; the `image` of an article, a product or a recipe takes
    that thing's name and description. At most 100,000 values are looked at.
    """
    waiting = deque([value])
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        node = waiting.popleft()
        if isinstance(node, list):
            waiting.extend(cast("list[object]", node))
        elif isinstance(node, dict):
            thing = cast("dict[str, object]", node)
            if _is_image(thing):
                yield from _image_mention(thing, resolve)
            else:
                yield from _images_of(thing, resolve)
            waiting.extend(thing.values())


def schema_date(value: object) -> float | None:
    """Return when the first thing of a JSON-LD value was published, or None."""
    nodes = cast("list[object]", value) if isinstance(value, list) else [value]
    for node in nodes[:100]:
        if isinstance(node, dict):
            thing = cast("dict[str, object]", node)
            date = _date(thing)
            graph = thing.get("@graph")
            if date is None and isinstance(graph, list):
                date = schema_date(cast("list[object]", graph))
            if date is not None:
                return date
    return None


def licence_of(thing: Mapping[str, object]) -> str:
    """Return the licence id that a thing states.

    A page where a licence can be bought (`acquireLicensePage`) says that rights are reserved.
    """
    stated = _address_of(thing.get("license"), ("url", "@id", "name"))
    if stated:
        return normalise_licence(stated.split("\n")[0])
    notice = _text(thing.get("copyrightNotice")).lower()
    if "creativecommons.org" in notice:
        return normalise_licence(notice)
    if "all rights reserved" in notice or _address_of(thing.get("acquireLicensePage")):
        return RESERVED
    return UNKNOWN


def _is_image(thing: Mapping[str, object]) -> bool:
    kinds = thing.get("@type")
    names = cast("list[object]", kinds) if isinstance(kinds, list) else [kinds]
    return any(str(name).rpartition("/")[2] in _IMAGE_TYPES for name in names[:20])


def _image_mention(
    thing: Mapping[str, object], resolve: Callable[[str], str]
) -> Iterator[ImageMention]:
    files = (resolve(_address_of(thing.get(name))) for name in _FILES if thing.get(name))
    addresses = tuple(dict.fromkeys(address for address in files if address))
    if not addresses:
        return
    notice = _text(thing.get("copyrightNotice"))
    credit = [
        thing.get("creditText"),
        _name_of(thing.get("creator")),
        _name_of(thing.get("author")),
    ]
    yield ImageMention(
        addresses=addresses,
        title=clip(_text(thing.get("name") or thing.get("headline")), MOST_SAID),
        caption=clip(_text(thing.get("caption")), MOST_SAID),
        text=clip(clean_text([_text(thing.get("description")), notice]), MOST_TEXT),
        author=clip(clean_text(credit), MOST_SAID),
        licence=licence_of(thing),
        taken=_date(thing),
    )


def _images_of(
    thing: Mapping[str, object], resolve: Callable[[str], str]
) -> Iterator[ImageMention]:
    """Yield the pictures that a thing of another kind names by their address alone."""
    for name in _IMAGES:
        given = thing.get(name)
        values = cast("list[object]", given) if isinstance(given, list) else [given]
        for value in values[:100]:
            is_thing = isinstance(value, dict)
            is_described = is_thing and _is_image(cast("dict[str, object]", value))
            address = "" if is_described else resolve(_address_of(cast("object", value)))
            if address:
                yield ImageMention(
                    addresses=(address,),
                    title=clip(_text(thing.get("name") or thing.get("headline")), MOST_SAID),
                    text=clip(_text(thing.get("description")), MOST_TEXT),
                    taken=_date(thing),
                )


def _date(thing: Mapping[str, object]) -> float | None:
    for name in _DATES:
        value = thing.get(name)
        if isinstance(value, str) and (moment := parse_taken(value[:64])) is not None:
            return moment
    return None


def _address_of(value: object, names: tuple[str, ...] = ("contentUrl", "url")) -> str:
    """Return the address in a value: a text, the first of a list, or an object's url."""
    for _ in range(4):
        if isinstance(value, list):
            items = cast("list[object]", value)
            value = items[0] if items else ""
        elif isinstance(value, dict):
            thing = cast("dict[str, object]", value)
            value = next((thing[name] for name in names if thing.get(name)), "")
    return value if isinstance(value, str) else ""


def _name_of(value: object) -> str:
    """Return the name of a person or organisation, or the names of several."""
    people = cast("list[object]", value) if isinstance(value, list) else [value]
    names: list[str] = []
    for person in people[:10]:
        is_thing = isinstance(person, dict)
        names.append(_text(cast("dict[str, object]", person).get("name") if is_thing else person))
    return clean_text(names)


def _text(value: object) -> str:
    """Return a text, or the texts of a flat list; what is nested deeper says nothing."""
    if isinstance(value, list):
        items = cast("list[object]", value)[:100]
        return clean_text([item for item in items if isinstance(item, str)])
    return clean_text(value) if isinstance(value, (str, int, float)) else ""
