"""Read XMP packets: any prefixes, attributes or elements, in UTF-8, 16 or 32; bounded.

The parser is expat, fed at most `MAX_PACKET_BYTES` in one piece and stopped at a document type
(so there are no entities to blow up), at a depth and at a number of elements. What was
read before damage or before a bound is kept. Nothing outside the packet is ever fetched.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Final, NamedTuple
from xml.parsers import expat

from lookalike.imaging.metadata_statements import (
    GPS_STAMP,
    MAX_PACKET_BYTES,
    XMP_CREATED,
    XMP_DIGITISED,
    XMP_TAKEN,
    Moment,
    Place,
    Statements,
    valid_place,
)

_MOST_DEPTH: Final = 40
_MOST_ELEMENTS: Final = 10_000
_MOST_VALUES: Final = 200
_MOST_VALUE_CHARS: Final = 8000

_SPACES: Final = {
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "adobe:ns:meta/": "x",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://creativecommons.org/ns#": "cc",
    "http://web.resource.org/cc/": "cc",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.0": "MicrosoftPhoto",
}
_PREFIXES: Final = frozenset(_SPACES.values())
_XML_LANG: Final = "xml:lang"

_TITLES: Final = ("dc:title", "photoshop:Headline")
_CAPTIONS: Final = (
    "dc:description", "Iptc4xmpCore:AltTextAccessibility", "Iptc4xmpCore:ExtDescrAccessibility",
    "tiff:ImageDescription", "exif:UserComment",
)  # fmt: skip
_KEYWORDS: Final = ("dc:subject", "MicrosoftPhoto:LastKeywordXMP")
_TREES: Final = {"lr:hierarchicalSubject": "|", "digiKam:TagsList": "/"}
"""Keywords written as paths, and what parts them."""

_CREATORS: Final = ("dc:creator", "plus:ImageCreatorName", "tiff:Artist")
_RIGHTS: Final = ("dc:rights", "tiff:Copyright", "xmpRights:UsageTerms")
_LICENCES: Final = (
    "cc:license", "xmpRights:WebStatement", "xmpRights:UsageTerms", "plus:LicensorURL",
    "plus:CopyrightStatus", "dc:rights", "tiff:Copyright",
)  # fmt: skip
_PLACE_NAMES: Final = (
    "Iptc4xmpCore:Location", "photoshop:City", "photoshop:State", "photoshop:Country",
    "Iptc4xmpExt:Sublocation", "Iptc4xmpExt:City", "Iptc4xmpExt:ProvinceState",
    "Iptc4xmpExt:CountryName",
)  # fmt: skip
_DATES: Final = (
    ("exif:DateTimeOriginal", XMP_TAKEN),
    ("photoshop:DateCreated", XMP_CREATED),
    ("exif:DateTimeDigitized", XMP_DIGITISED),
    ("xmp:CreateDate", XMP_DIGITISED),
    ("exif:GPSTimeStamp", GPS_STAMP),
)
_LATITUDE, _LONGITUDE = "exif:GPSLatitude", "exif:GPSLongitude"
_PROPERTIES: Final = frozenset((
    *_TITLES, *_CAPTIONS, *_KEYWORDS, *_TREES, *_CREATORS, *_RIGHTS, *_LICENCES, *_PLACE_NAMES,
    *(name for name, _ in _DATES), _LATITUDE, _LONGITUDE,
))  # fmt: skip
_OPEN: Final = frozenset((
    "rdf:RDF", "rdf:Description", "rdf:Bag", "rdf:Seq", "rdf:Alt", "rdf:li", "rdf:value",
    "x:xmpmeta", "x:xapmeta", "cc:Work", "plus:Licensor", "plus:ImageCreator",
    "Iptc4xmpExt:LocationCreated",
))  # fmt: skip
"""Elements that are looked into; the history and the parts of a montage are not."""

_KNOWN: Final = _OPEN | _PROPERTIES

_LISTS: Final = frozenset(("rdf:Bag", "rdf:Seq", "rdf:Alt"))
_ITEMS: Final = frozenset(("rdf:li", "rdf:value"))

_ENTITY: Final = re.compile(r"&(#(?:[0-9]{1,7}|x[0-9A-Fa-f]{1,6});|[A-Za-z][A-Za-z0-9]{1,30};)?")
_XML_ENTITIES: Final = frozenset(("amp;", "lt;", "gt;", "quot;", "apos;"))
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_POSITION: Final = re.compile(
    r"\s*(\d{1,3}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])?\s*",
    re.IGNORECASE,
)


class _Stop(Exception):  # noqa: N818 - no error: enough has been read
    """Raised in a handler to end the parse."""


class _Value(NamedTuple):
    """One value of a property and its language, which may be empty."""

    text: str
    language: str


class _Frame(NamedTuple):
    """An open element: the property it states, if its text is that value, its language."""

    name: str
    states: str | None = None
    is_text: bool = False
    language: str = ""
    is_closed: bool = False


_CLOSED: Final = _Frame("", is_closed=True)


class _Packet:
    """Collects the properties wanted of a packet while expat walks it."""

    def __init__(self) -> None:
        self.values: dict[str, list[_Value]] = {}
        self._frames: list[_Frame] = []
        self._outer: list[dict[str, str | None]] = []
        self._spaces: dict[str, str | None] = {prefix: prefix for prefix in _PREFIXES}
        self._text: list[str] = []
        self._elements = 0

    def parse(self, text: str) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(text.encode("utf-8"), True)
        except (expat.ExpatError, _Stop):
            return  # what stood before the damage or the bound is kept

    def _refuse(self, *_: object) -> None:
        raise _Stop

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._frames) >= _MOST_DEPTH or self._elements > _MOST_ELEMENTS:
            raise _Stop
        self._outer.append(self._spaces)
        above = self._frames[-1] if self._frames else None
        frame = _CLOSED
        if above is None or not above.is_closed:
            self._declare(attributes)
            frame = self._frame(self._named(tag), attributes, above)
        self._frames.append(frame)
        self._text.clear()
        if attributes and not frame.is_closed:
            self._read_attributes(frame, attributes)

    def _declare(self, attributes: dict[str, str]) -> None:
        declared = {
            name[6:]: _SPACES.get(uri) for name, uri in attributes.items() if name[:6] == "xmlns:"
        }
        if declared:
            self._spaces = self._spaces | declared

    def _frame(self, name: str, attributes: dict[str, str], above: _Frame | None) -> _Frame:
        """Tell what an element means below the one that holds it."""
        if above is not None and name not in _KNOWN:
            return _CLOSED
        language = attributes.get(_XML_LANG, above.language if above else "")
        states = above.states if above else None
        if name in _PROPERTIES:
            return _Frame(name, name, is_text=True, language=language)
        if name in _ITEMS:
            return _Frame(name, states, is_text=states is not None, language=language)
        return _Frame(name, states if name in _LISTS else None, language=language)

    def _read_attributes(self, frame: _Frame, attributes: dict[str, str]) -> None:
        for key, value in attributes.items():
            name = self._named(key)
            if name in _PROPERTIES:
                self._note(name, value, "")
            elif name == "rdf:resource" and frame.states:
                self._note(frame.states, value, "")

    def _end(self, _tag: str) -> None:
        frame = self._frames.pop()
        if frame.is_text and frame.states:
            self._note(frame.states, "".join(self._text), frame.language)
        self._text.clear()
        self._spaces = self._outer.pop()

    def _named(self, tag: str) -> str:
        """Return a name under its usual prefix; one of an unknown space stands for nothing."""
        prefix, colon, local = tag.partition(":")
        usual = self._spaces.get(prefix)
        return f"{usual}:{local}" if colon and usual else ""

    def _note(self, name: str, text: str, language: str) -> None:
        text = text[:_MOST_VALUE_CHARS].strip()
        values = self.values.setdefault(name, [])
        if text and len(values) < _MOST_VALUES:
            values.append(_Value(text, language))


def read_xmp(*packets: bytes) -> Statements:
    """Read a file's packets (the main one first, then its extension); they may be damaged."""
    packet = _Packet()
    for data in packets:
        if data:
            packet.parse(_clean(_decode(data[:MAX_PACKET_BYTES])))
    values = packet.values

    def texts(*names: str) -> list[str]:
        """Return all values, those of the default language first."""
        found = [value for name in names for value in values.get(name, ())]
        found.sort(key=lambda value: value.language not in {"", "x-default"})
        return [value.text for value in found]

    return Statements(
        titles=texts(*_TITLES),
        captions=texts(*_CAPTIONS),
        keywords=[*texts(*_KEYWORDS), *_leaves(values)],
        creators=texts(*_CREATORS),
        rights=texts(*_RIGHTS),
        licences=[value.text for name in _LICENCES for value in values.get(name, ())],
        place_names=texts(*_PLACE_NAMES),
        moments=[Moment(rank, text) for name, rank in _DATES for text in texts(name)[:1]],
        places=_places(texts(_LATITUDE), texts(_LONGITUDE)),
    )


def _leaves(values: dict[str, list[_Value]]) -> list[str]:
    return [
        part
        for name, mark in _TREES.items()
        for value in values.get(name, ())
        for part in value.text.split(mark)
    ]


def _places(latitudes: list[str], longitudes: list[str]) -> list[Place]:
    """Read `48,51.5N` or `48,51,30N`, XMP's way of writing degrees."""
    if not latitudes or not longitudes:
        return []
    north, east = _POSITION.fullmatch(latitudes[0]), _POSITION.fullmatch(longitudes[0])
    if north is None or east is None:
        return []
    place = valid_place(_degrees(north), _degrees(east))
    return [place] if place else []


def _degrees(match: re.Match[str]) -> float:
    total = sum(float(match[i + 1] or 0) / 60**i for i in range(3))
    return -total if (match[4] or "").upper() in {"S", "W"} else total


def _decode(data: bytes) -> str:
    """Decode a packet by its mark or by where its first bracket has its zeros."""
    head = data[:4]
    if head[:3] == b"\xef\xbb\xbf":
        return data[3:].decode("utf-8", "replace")
    if head in {b"<\0\0\0", b"\xff\xfe\0\0"}:
        return data.decode("utf-32-le", "replace")
    if head in {b"\0\0\0<", b"\0\0\xfe\xff"}:
        return data.decode("utf-32-be", "replace")
    if head[:2] in {b"<\0", b"\xff\xfe"}:
        return data.decode("utf-16-le", "replace")
    if head[:2] in {b"\0<", b"\xfe\xff"}:
        return data.decode("utf-16-be", "replace")
    return data.decode("utf-8", "replace")


def _clean(text: str) -> str:
    """Begin at the first bracket, and mend what would stop the parser for no good reason."""
    text = _NO_XML.sub("", text[max(text.find("<"), 0) :])
    return _ENTITY.sub(_mend_entity, text) if "&" in text else text


def _mend_entity(match: re.Match[str]) -> str:
    """Write HTML's entities as the letters they are, and a bare `&` as XML wants it."""
    body = match[1]
    if body is None:
        return "&amp;"
    if body in _XML_ENTITIES:
        return match[0]
    if body[0] != "#":
        return html5.get(body) or f"&amp;{body}"
    code = int(body[2:-1], 16) if body[1] in "xX" else int(body[1:-1])
    is_letter = code in {9, 10, 13} or 32 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF
    return match[0] if is_letter and code not in {0xFFFE, 0xFFFF} else ""
