"""Read IPTC's older block (IIM 4.2) and the Photoshop resources that it lies in.

Every walk is bounded by the bytes at hand; what comes after damage is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from lookalike.imaging.metadata_statements import (
    IPTC_CREATED,
    MAX_PACKET_BYTES,
    Moment,
    Statements,
    decode_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESOURCE_MARK: Final = b"8BIM"
_RESOURCE_IPTC: Final = 0x0404
_RESOURCE_XMP: Final = 0x0424
_RESOURCE_ADDRESS: Final = 0x040B
_MOST_RESOURCES: Final = 256
_MOST_DATASETS: Final = 2000
_MOST_VALUE_BYTES: Final = 8000

_MARK: Final = 0x1C
_ENVELOPE, _APPLICATION = 1, 2
_CHARACTER_SET: Final = 90
_UTF8_ESCAPE: Final = b"\x1b%G"
_TITLE, _HEADLINE, _CAPTION, _KEYWORD = 5, 105, 120, 25
_DATE, _TIME, _BYLINE, _COPYRIGHT = 55, 60, 80, 116
_PLACE_NAMES: Final = (92, 90, 95, 101)
"""Sublocation, city, state, country."""


class PhotoshopBlocks(NamedTuple):
    """The parts of Photoshop's resources that say something of the picture."""

    iptc: bytes = b""
    xmp: bytes = b""
    address: str = ""


def split_photoshop(data: bytes) -> PhotoshopBlocks:
    """Return the IPTC block, the XMP packet and the copyright address among image resources."""
    found: dict[int, bytes] = {}
    at = 0
    for _ in range(_MOST_RESOURCES):
        if data[at : at + 4] != _RESOURCE_MARK or at + 12 > len(data):
            break
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        start = at + 6 + (data[at + 6] + 2 & ~1)
        size = int.from_bytes(data[start : start + 4], "big")
        body = data[start + 4 : start + 4 + size]
        if number in {_RESOURCE_IPTC, _RESOURCE_XMP, _RESOURCE_ADDRESS}:
            found.setdefault(number, body)
        at = start + 4 + (size + 1 & ~1)
    return PhotoshopBlocks(
        found.get(_RESOURCE_IPTC, b""),
        found.get(_RESOURCE_XMP, b""),
        decode_text(found.get(_RESOURCE_ADDRESS, b"")[:_MOST_VALUE_BYTES]),
    )


def read_iptc(data: bytes) -> Statements:
    """Read an IIM block; a damaged one as far as it goes."""
    is_utf8 = False
    values: dict[int, list[bytes]] = {}
    for record, dataset, value in _datasets(data[:MAX_PACKET_BYTES]):
        if record == _ENVELOPE and dataset == _CHARACTER_SET:
            is_utf8 = value.startswith(_UTF8_ESCAPE)
        elif record == _APPLICATION:
            values.setdefault(dataset, []).append(value)

    def texts(*datasets: int) -> list[str]:
        raws = [raw for dataset in datasets for raw in values.get(dataset, ())]
        return [raw.decode("utf-8", "replace") if is_utf8 else decode_text(raw) for raw in raws]

    written = _iso(next(iter(texts(_DATE)), ""), next(iter(texts(_TIME)), ""))
    return Statements(
        titles=texts(_TITLE, _HEADLINE),
        captions=texts(_CAPTION),
        keywords=texts(_KEYWORD),
        creators=texts(_BYLINE),
        rights=texts(_COPYRIGHT),
        place_names=texts(*_PLACE_NAMES),
        moments=[Moment(IPTC_CREATED, written)] if written else [],
    )


def _iso(day: str, time: str) -> str:
    """Turn `20240131` and `235959+0100` into an ISO date; empty when the day is none."""
    if len(day) < 8 or not day[:8].isdigit():
        return ""
    date = f"{day[:4]}-{day[4:6]}-{day[6:8]}"
    if len(time) < 6 or not time[:6].isdigit():
        return date
    return f"{date}T{time[:2]}:{time[2:4]}:{time[4:6]}{time[6:11]}"


def _datasets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield record, dataset and value; stops where the block is cut or no longer one."""
    at = 0
    for _ in range(_MOST_DATASETS):
        if at + 5 > len(data) or data[at] != _MARK:
            return
        record, dataset = data[at + 1], data[at + 2]
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:  # an extended dataset: so many bytes hold the size
            wide = min(size & 0x7FFF, 4)
            size = int.from_bytes(data[at : at + wide], "big")
            at += wide
        yield record, dataset, data[at : at + min(size, _MOST_VALUE_BYTES)]
        at += size
