"""Turn a row of a table, a JSON sidecar or a shard's metadata into what is said of a picture."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, cast
from urllib.parse import unquote

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.domain.images import Source
from lookalike.domain.licences import normalise_licence
from lookalike.domain.sources import is_url, site_of, text_fingerprint

PATH_COLUMNS: Final = (
    "path", "file", "filepath", "file_path", "filename", "file_name",
    "image_path", "local_path", "image", "img",
)  # fmt: skip
URL_COLUMNS: Final = ("url", "image_url", "img_url", "imageurl", "src")
BYTES_COLUMNS: Final = ("jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "image", "img")

_TITLE: Final = ("title", "name", "label", "class_name")
_ALT: Final = ("alt_text", "alt", "text", "description")
_CAPTION: Final = ("caption", "captions", "sentences", "txt", "top_caption")
_TAGS: Final = ("tags", "keywords", "labels")
_PAGE_TEXT: Final = ("page_text", "context")
_AUTHOR: Final = ("author", "creator", "photographer", "artist", "attribution")
_PAGE: Final = (
    "page_url", "page", "source_page", "foreign_landing_url", "source_url", "flickr_url",
)  # fmt: skip
_LICENCE: Final = (
    "licence_id", "license_id", "licence", "license", "rights", "licence_url", "license_url",
)  # fmt: skip
_TAKEN: Final = ("taken", "date_taken", "datetime_original", "date", "datetime", "timestamp")

_MOST_CHARACTERS: Final = 100_000
_SPACES: Final = re.compile(r"[ \t\r\f\v\0]+")
_EXIF_DATE: Final = re.compile(r"(\d{4})[:/](\d{2})[:/](\d{2})(?=$|[ T])")
_EPOCH_LIMITS: Final = (-62_135_596_800.0, 253_402_300_799.0)
"""The years 1 to 9999, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class RowTarget:
    """Where a row's picture is: exactly one of the three is set."""

    path: str = ""
    url: str = ""
    data: bytes = b""


def fold_row(row: Mapping[str, object]) -> dict[str, object]:
    """Return the row under lower-case names without spaces around them, empty values dropped."""
    folded: dict[str, object] = {}
    for name, value in row.items():
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        folded.setdefault(str(name).strip().lower(), value)
    return folded


def row_of_json(raw: bytes | str) -> dict[str, object]:
    """Return the folded row that a JSON object states.

    Raises:
        ImageError: `bad-record` when it is not one JSON object.
    """
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _bad(f"not JSON: {error}"[:200]) from error
    if not isinstance(parsed, dict):
        raise _bad(f"a JSON {type(parsed).__name__}, not an object")
    return fold_row(cast("dict[str, object]", parsed))


def target_of_row(row: Mapping[str, object]) -> RowTarget:
    """Return where the picture of a folded row is.

    Bytes win over a path, and a path over a URL.

    Raises:
        ImageError: `bad-record`, saying which column is missing or of the wrong type.
    """
    for name in BYTES_COLUMNS:
        value = _inner(row[name], "bytes") if name in row else None
        if isinstance(value, (bytes, bytearray)) and value:
            return RowTarget(data=bytes(value))
    for name in (*PATH_COLUMNS, *URL_COLUMNS):
        value = _inner(row[name], "path") if name in row else None
        if value is None:
            continue
        if not isinstance(value, str):
            raise _bad(f"column {name!r} holds {type(value).__name__}, not a path or URL")
        return _target_of_text(value.strip(), name)
    raise _bad("neither a path nor a url: " + _known_columns())


def _target_of_text(text: str, column: str) -> RowTarget:
    if "\0" in unquote(text) or "\n" in text or "\r" in text:
        raise _bad(f"column {column!r} holds a line break or NUL")
    if is_url(text):
        return RowTarget(url=text)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme and scheme[1].lower() == "file":
        return RowTarget(path=unquote(text[len("file://") :]))
    if scheme or column in URL_COLUMNS:
        raise _bad(f"column {column!r} holds {text[:80]!r}; only http and https URLs are fetched")
    if not text:
        raise _bad(f"column {column!r} is blank")
    return RowTarget(path=text)


def source_of_row(
    row: Mapping[str, object],
    uri: str,
    *,
    fallback: Mapping[str, str] | None = None,
    fingerprint: str = "",
) -> Source:
    """Return the source that a folded row describes; values of odd types never raise.

    `fallback` gives texts for fields the row leaves empty (a caption sidecar, a tab-separated
    caption). `fingerprint` is that of the bytes; what is said of the picture is added to it.
    """
    spare = fallback or {}
    image_url = _first(row, URL_COLUMNS)
    page_url = _first(row, _PAGE)
    if not is_url(page_url):
        page_url = image_url if is_url(image_url) and image_url != uri else ""
    source = Source(
        uri=uri,
        fingerprint=fingerprint,
        page_url=page_url,
        site=site_of(page_url) or site_of(uri),
        title=_first(row, _TITLE) or spare.get("title", ""),
        alt_text=_first(row, _ALT) or _first(row, _TAGS) or spare.get("alt_text", ""),
        caption=_first(row, _CAPTION) or spare.get("caption", ""),
        page_text="\n".join(filter(None, (_first(row, _PAGE_TEXT), _first(row, _AUTHOR)))),
        licence=normalise_licence(_first(row, _LICENCE)),
        taken=_first_date(row),
    )
    return stamp_texts(source)


def stamp_texts(source: Source) -> Source:
    """Return the source with the fingerprint of its texts in place of an older one's."""
    file_part = source.fingerprint.partition("+")[0]
    return replace(source, fingerprint=file_part + text_fingerprint(source))


def parse_taken(value: object) -> float | None:
    """Return seconds since the epoch for a date, an ISO 8601 or EXIF text or a number, or None.

    A time without a zone is taken as UTC. Numbers above 1e11 are milliseconds.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return _epoch(value)
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        text = value.strip().strip("\0 ")
        if re.fullmatch(r"-?\d{9,13}(\.\d+)?", text):
            return _epoch(float(text))
        try:
            moment = datetime.fromisoformat(_EXIF_DATE.sub(r"\1-\2-\3", text))
        except ValueError:
            return None
    else:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        return None


def clean_text(value: object) -> str:
    """Return a text value with blanks squeezed; lists join by lines, other types give their text.

    Mappings and bytes say nothing a person would search for and give an empty string.
    """
    if value is None or isinstance(value, (bytes, bytearray, Mapping)):
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        lines = [clean_text(each) for each in cast("Sequence[object]", value)[:100]]
        return "\n".join(line for line in dict.fromkeys(lines) if line)[:_MOST_CHARACTERS]
    text = str(value)[:_MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return _SPACES.sub(" ", text).strip()


def join_captions(first: str, second: str) -> str:
    """Return both captions, one a line, each once."""
    lines = dict.fromkeys((*first.split("\n"), *second.split("\n")))
    return "\n".join(line for line in lines if line)[:_MOST_CHARACTERS]


def has_target_column(names: Sequence[str]) -> bool:
    """Tell whether a table with these columns says where its pictures are."""
    known = {*PATH_COLUMNS, *URL_COLUMNS, *BYTES_COLUMNS}
    return any(name.strip().lower() in known for name in names)


def _epoch(value: float) -> float | None:
    try:
        seconds = float(value)
    except OverflowError:
        return None
    if abs(seconds) > 1e11:
        seconds /= 1000
    low, high = _EPOCH_LIMITS
    return seconds if low <= seconds <= high else None


def _first(row: Mapping[str, object], names: Sequence[str]) -> str:
    for name in names:
        if name in row and (text := clean_text(row[name])):
            return text
    return ""


def _first_date(row: Mapping[str, object]) -> float | None:
    for name in _TAKEN:
        if name in row and (taken := parse_taken(row[name])) is not None:
            return taken
    return None


def _inner(value: object, name: str) -> object:
    """Look inside a Hugging Face image, `{"bytes": …, "path": …}`; other values are themselves."""
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).get(name)
    return value


def _bad(detail: str) -> ImageError:
    return ImageError(reasons.BAD_RECORD, detail)


def _known_columns() -> str:
    return "a row needs `path` (or file, filepath, image_path, image) or `url`"
