"""The pictures themselves: where their files are, and those that only the index holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.domain.answers import is_url
from lookalike.domain.errors import NotFoundError
from lookalike.domain.sources import path_of_uri

if TYPE_CHECKING:
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.engine.stores import Stores


def thumbnail_key(image: ImageId) -> str:
    """Return the blob key of an image's thumbnail."""
    return f"thumbnails/{image[:2]}/{image}"


def original_key(image: ImageId) -> str:
    """Return the blob key of a picture that was given to the index as bytes."""
    return f"originals/{image[:2]}/{image}"


def read_original(stores: Stores, record: ImageRecord, max_bytes: int) -> tuple[bytes, str]:
    """Return a picture's bytes and media type, from a file that is still there or from the blobs.

    Raises:
        NotFoundError: neither is at hand.
    """
    from lookalike.engine.decode_worker import read_picture

    media = f"image/{record.facts.format.lower()}"
    for source in record.sources:
        if is_url(source.uri) or source.is_vanished:
            continue
        path = Path(path_of_uri(source.uri))
        if path.is_file() and path.stat().st_size == record.facts.bytes:
            return read_picture(bytes(path), max_bytes), media
    kept = stores.blobs.get(original_key(record.id))
    if kept is not None:
        return kept, media
    raise NotFoundError(
        f"the file of {record.id} is not at hand", hint="its thumbnail may still be"
    )
