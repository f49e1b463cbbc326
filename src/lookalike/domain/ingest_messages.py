"""Messages of the ingest log: what a worker is asked to do, as JSON of a stated version.

    {"v": 1, "op": "put", "source": {"uri": …, "caption": …}, "blob": "incoming/ab/abcd…"}
    {"v": 1, "op": "put", "source": {"uri": "https://…"}, "url": "https://…"}
    {"v": 1, "op": "remove", "image": "<32 hex digits>", "block": true}

A picture never travels inside a message: its bytes are put into the blob store first, or a
worker fetches them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from lookalike.domain.errors import MessageError, MessageTooLargeError
from lookalike.domain.images import ImageId, Source, is_image_id

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1

MOST_BYTES: Final = 4 << 20
"""A message is at most so long."""

MOST_TEXT: Final = 100_000
"""Characters of one text of a source that travel; no more of it is indexed anyway."""

_TEXTS: Final = tuple(f.name for f in fields(Source) if f.type == "str")


@dataclass(frozen=True, slots=True)
class PutMessage:
    """Index a picture: its bytes are a blob, or a worker reads `url` or `path`.

    `is_kept` stores the original bytes with the image.
    """

    source: Source
    kind: Literal["blob", "url", "path"]
    place: str
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class RemoveMessage:
    """Remove an image; a blocked one may not come back."""

    image: ImageId
    is_blocked: bool = False


def encode_message(message: PutMessage | RemoveMessage) -> bytes:
    """Return the bytes of a message.

    Raises:
        MessageTooLargeError: it is over the bound.
    """
    if isinstance(message, RemoveMessage):
        value: dict[str, Any] = {"op": "remove", "image": message.image}
        value["block"] = message.is_blocked
    else:
        value = {"op": "put", "source": _source_json(message.source)}
        value |= {message.kind: message.place, "keep": message.is_kept}
    data = json.dumps({"v": VERSION, **value}, separators=(",", ":")).encode("ascii")
    if len(data) > MOST_BYTES:
        raise MessageTooLargeError(
            f"a message of {len(data)} bytes is over the bound of {MOST_BYTES}",
            hint="shorten the texts of the source",
        )
    return data


def decode_message(data: bytes) -> PutMessage | RemoveMessage:
    """Read a message back.

    Raises:
        MessageError: it is too long, is no JSON, is of another version or lacks something.
    """
    if len(data) > MOST_BYTES:
        raise MessageTooLargeError(f"a message of {len(data)} bytes is over {MOST_BYTES}")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise MessageError("not a JSON object")
    message = cast("dict[str, Any]", value)
    if message.get("v") != VERSION:
        raise MessageError(
            f"version {str(message.get('v'))[:20]!r} is not read here; this one reads {VERSION}",
            hint="upgrade the workers before the publishers",
        )
    if message.get("op") == "put":
        return _put(message)
    if message.get("op") == "remove":
        image = message.get("image")
        if not isinstance(image, str) or not is_image_id(image):
            raise MessageError("a removal names no image")
        return RemoveMessage(ImageId(image), message.get("block") is True)
    raise MessageError(f"there is no operation {str(message.get('op'))[:40]!r}")


def key_of(message: PutMessage | RemoveMessage) -> str:
    """Return the key that keeps messages about one thing in order: the image, else the uri."""
    if isinstance(message, RemoveMessage):
        return message.image
    name = message.place.rpartition("/")[2]
    return name if message.kind == "blob" and is_image_id(name) else message.source.uri


def _put(message: Mapping[str, Any]) -> PutMessage:
    places = [kind for kind in ("blob", "url", "path") if isinstance(message.get(kind), str)]
    if len(places) != 1 or not message[places[0]]:
        raise MessageError("a put names not exactly one of blob, url and path")
    source = _source(message.get("source"))
    return PutMessage(source, places[0], message[places[0]], message.get("keep") is True)  # pyright: ignore[reportArgumentType]


def _source_json(source: Source) -> dict[str, Any]:
    values = asdict(source)
    usual = asdict(Source(uri=""))
    kept = {name: value for name, value in values.items() if value != usual[name]}
    return {
        name: value[:MOST_TEXT] if isinstance(value, str) and name != "uri" else value
        for name, value in kept.items()
    }


def _source(value: object) -> Source:
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if not isinstance(given.get("uri"), str) or not given["uri"]:
        raise MessageError("a put has no source with a uri")
    known: dict[str, Any] = {}
    for name, content in given.items():
        if name in _TEXTS and isinstance(content, str):
            known[name] = content
        elif name in {"taken", "seen"} and (number := _finite(content)) is not None:
            known[name] = number
        elif name == "is_vanished" and isinstance(content, bool):
            known[name] = content
        else:
            raise MessageError(f"the source's {name[:40]!r} is unknown or of the wrong kind")
    return Source(**known)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
