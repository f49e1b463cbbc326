"""What every catalog does alike: keys and ids as bytes.

Keys are UTF-8 with `surrogatepass`, which is one-to-one over all strings: they sort by code
point, and a file name that is not UTF-8 (which Python shows with lone surrogates) comes back as
it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.domain.errors import StoreError
from lookalike.domain.images import ImageId, is_image_id

if TYPE_CHECKING:
    from collections.abc import Sequence


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
