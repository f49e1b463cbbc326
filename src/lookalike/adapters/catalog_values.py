"""What every catalog does alike: keys and ids as bytes, and two sightings made one.

Keys are UTF-8 with `surrogatepass`, which is one-to-one over all strings: they sort by code
point, and a file name that is not UTF-8 (which Python shows with lone surrogates) comes back as
it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.domain.errors import StoreError
from lookalike.domain.images import ImageId, is_image_id
from lookalike.domain.licences import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.images import Source


def pack_key(text: str) -> bytes:
    """Return a uri as bytes that sort as its code points do."""
    return text.encode("utf-8", "surrogatepass")


def unpack_key(value: bytes) -> str:
    """Return what `pack_key` was given."""
    return value.decode("utf-8", "surrogatepass")


def pack_id(image: ImageId) -> bytes | None:
    """Return an id as 16 bytes, or None for text that is no id."""
    return bytes.fromhex(image) if is_image_id(image) else None


def pack_ids(images: Sequence[ImageId]) -> list[bytes]:
    """Return the ids as bytes, text that is no id left out."""
    return [key for key in map(pack_id, images) if key is not None]


def unpack_id(value: bytes) -> ImageId:
    """Return what `pack_id` was given."""
    return ImageId(value.hex())


def require_id(image: ImageId) -> bytes:
    """Return an id as 16 bytes.

    Raises:
        StoreError: the text is no id.
    """
    key = pack_id(image)
    if key is None:
        raise StoreError(f"{image!r} is no image id", hint="ids are 32 hex digits")
    return key


def merged_source(old: Source, new: Source) -> Source:
    """Return what two sightings of one uri say: the newer one, where it says anything."""
    return replace(
        new,
        fingerprint=new.fingerprint or old.fingerprint,
        page_url=new.page_url or old.page_url,
        site=new.site or old.site,
        title=new.title or old.title,
        alt_text=new.alt_text or old.alt_text,
        caption=new.caption or old.caption,
        page_text=new.page_text or old.page_text,
        licence=old.licence if new.licence == UNKNOWN else new.licence,
        taken=old.taken if new.taken is None else new.taken,
    )
