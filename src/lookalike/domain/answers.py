"""The JSON forms of what Lookalike answers: the contract of `--json`, HTTP and Python."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lookalike.domain.hits import Hit, MatchedObject, SearchResult
    from lookalike.domain.images import DetectedObject, ImageRecord, OcrWord, Source

_NO_BYTES: Final = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")
"""Half characters that stand for no byte of a file name, as a broken JSON text may hold them."""


def is_url(uri: str) -> bool:
    """Tell whether a uri is a web address rather than a path."""
    return uri.startswith(("http://", "https://"))


def printable(text: str) -> str:
    """Return text that can be encoded as UTF-8; bytes of odd file names show as escapes."""
    if not _is_odd(text):
        return text
    whole = _NO_BYTES.sub("\N{REPLACEMENT CHARACTER}", text)
    return os.fsencode(whole).decode("utf-8", "backslashreplace")


def _is_odd(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def timestamp(seconds: float | None) -> str | None:
    """Return an ISO time in UTC, or None."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None


def result_json(result: SearchResult) -> dict[str, Any]:
    """Return a search answer as the one object that every interface gives."""
    answer: dict[str, Any] = {
        "query": printable(result.query),
        "hits": [hit_json(hit) for hit in result.hits],
        "total": result.total,
        "no_good_match": result.no_good_match,
        "degraded": list(result.degraded),
        "timings_ms": {stage: round(ms, 3) for stage, ms in result.timings_ms.items()},
        "next": result.next,
    }
    if result.corrected:
        answer["corrected"] = printable(result.corrected)
    if result.notices:
        answer["notices"] = [{"code": one.code, "message": one.message} for one in result.notices]
    if result.reading:
        answer["reading"] = list(result.reading)
        answer["reading_met"] = result.reading_met
    if result.explanation:
        answer["explanation"] = dict(result.explanation)
    if result.query_id:
        answer["query_id"] = result.query_id
    if result.is_logged:
        answer["is_logged"] = True
    return answer


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return one hit; `path` or `url` says where its picture is."""
    record = hit.record
    place = record.location
    answer = {
        "id": record.id,
        ("url" if is_url(place) else "path"): printable(place),
        "score": round(hit.score, 6),
        "relevance": round(hit.relevance, 4),
        "parts": {name: round(value, 6) for name, value in hit.parts.items()},
        "why": list(hit.why),
        "width": record.facts.width,
        "height": record.facts.height,
        "type": record.facts.kind,
        "title": printable(title_of(record)),
        "labels": sorted({found.label for found in record.objects}),
        "objects": [matched_json(one) for one in hit.objects],
        "licence": licence_of(record),
        "copies": hit.copies,
    }
    if hit.shares:
        answer["shares"] = {name: round(value, 6) for name, value in hit.shares.items()}
    return answer


def object_json(found: DetectedObject) -> dict[str, Any]:
    """Return one object of a record."""
    box = [round(value, 5) for value in found.box]
    return {"label": found.label, "score": round(found.score, 4), "box": box}


def matched_json(matched: MatchedObject) -> dict[str, Any]:
    """Return one object that made an image a hit."""
    answer = object_json(matched.found)
    if matched.cosine is not None:
        answer["cosine"] = round(matched.cosine, 4)
    return answer


def word_json(word: OcrWord) -> dict[str, Any]:
    """Return one word read off a picture."""
    box = [round(value, 5) for value in word.box]
    text = printable(word.text)
    return {"text": text, "score": round(word.score, 4), "box": box, "line": word.line}


def licence_of(record: ImageRecord) -> str:
    """Return the one licence to show: the first stated one, or `unknown`."""
    stated = (source.licence for source in record.sources if source.licence != "unknown")
    return next(stated, record.facts.licence)


def title_of(record: ImageRecord) -> str:
    """Return the best short text for an image: a title, caption or alt text, or its file name."""
    for field in ("title", "caption", "alt_text"):
        for source in record.sources:
            if text := getattr(source, field):
                return str(text).splitlines()[0][:200]
    return record.location.rstrip("/").rsplit("/", 1)[-1]


def record_json(record: ImageRecord) -> dict[str, Any]:
    """Return everything known of an image."""
    facts = record.facts
    return {
        "id": record.id,
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.bytes,
        "format": facts.format,
        "frames": facts.frames,
        "type": facts.kind,
        "animated": facts.is_animated,
        "transparent": facts.is_transparent,
        "taken": timestamp(record.taken),
        "colors": list(facts.color_tags),
        "palette": [
            {"lab": [round(value, 2) for value in colour.lab], "weight": round(colour.weight, 4)}
            for colour in facts.palette
        ],
        "phash": f"{facts.phash:016x}",
        "phash_quality": round(facts.phash_quality, 3),
        "objects": [object_json(found) for found in record.objects],
        "ocr_text": printable(record.ocr_text),
        "words": [word_json(word) for word in record.words],
        "embedded_title": printable(facts.embedded_title),
        "embedded_text": printable(facts.embedded_text),
        "keywords": [printable(word) for word in facts.keywords],
        "creator": printable(facts.creator),
        "rights": printable(facts.rights),
        "place": list(facts.place) if facts.place is not None else None,
        "licence": licence_of(record),
        "licences": sorted(record.licences),
        "sources": [source_json(source) for source in record.sources],
        "copy_group": record.copy_group,
        "first_seen": timestamp(record.first_seen),
        "last_seen": timestamp(record.last_seen),
        "models": dict(record.models),
    }


def source_json(source: Source) -> dict[str, Any]:
    """Return one place where an image was seen, without its empty fields."""
    fields: dict[str, Any] = {
        ("url" if is_url(source.uri) else "path"): printable(source.uri),
        "page_url": source.page_url,
        "site": source.site,
        "title": printable(source.title),
        "alt_text": printable(source.alt_text),
        "caption": printable(source.caption),
        "page_text": printable(source.page_text),
        "licence": "" if source.licence == "unknown" else source.licence,
        "taken": timestamp(source.taken),
        "seen": timestamp(source.seen),
        "vanished": source.is_vanished,
    }
    return {name: value for name, value in fields.items() if value}
