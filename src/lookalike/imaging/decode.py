"""Decode the bytes of a picture: bounded, upright, sRGB, or refused with a named reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.imaging.containers import (
    JpegParts,
    cannot_hold,
    count_gif_frames,
    is_truncated,
    split_jpeg,
    webp_size,
)
from lookalike.imaging.formats import Format, sniff
from lookalike.imaging.metadata import Metadata, read_metadata
from lookalike.imaging.metadata_blocks import blocks_of, jpeg_blocks
from lookalike.imaging.modes import set_upright, shrink_whole, split_alpha, to_srgb

if TYPE_CHECKING:
    from collections.abc import Generator

_DECODER_ERRORS: Final = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
    ArithmeticError, RuntimeError, AssertionError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""All that Pillow's readers have been seen to raise on damaged files."""

_OPENERS: Final[dict[Format, type[ImageFile.ImageFile]]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
    "avif": AvifImageFile,
}
_ANIMATED_FORMATS: Final = frozenset(("gif", "png", "webp", "avif"))
_LATER_FRAMES: Final = (1, 2, 4, 8)
_TAG_SUBFILE, _TAG_DNG = 254, 50706
_WEBP_CANVAS_BYTES: Final = 12
"""The reader reserves two canvases when it opens a file, and the picture is a third."""

_MAX_PROFILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What a picture may cost; over a bound it is refused.

    `max_pixels` bounds width × height as the file states it; `max_memory_bytes` what the
    decoder would hold at once, after shrinking on load where the format allows it.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 256_000_000
    max_memory_bytes: int = 1 << 30
    max_frames: int = 5000
    min_side: int = 8

    @classmethod
    def for_memory(cls, available_bytes: int, *, workers: int = 1) -> DecodeLimits:
        """Return limits under which `workers` decoders fit half of the memory at once."""
        share = max(available_bytes // (2 * max(workers, 1)), 64 * 1024 * 1024)
        return cls(max_memory_bytes=min(share, 1 << 30), max_bytes=min(share, 256 * 1024 * 1024))


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    `pixels` is upright, sRGB, mode RGB, perhaps shrunk on load; transparent parts lie on
    white. `alpha` (mode L, of the same size) is there only when something really is
    transparent. `width` and `height` are those of the file, upright. `clean_jpeg` is the
    file without metadata where it could be shown as it is.
    """

    pixels: Image.Image
    width: int
    height: int
    format: Format
    frames: int = 1
    is_animated: bool = False
    alpha: Image.Image | None = None
    metadata: Metadata = field(default_factory=Metadata)
    clean_jpeg: bytes | None = None

    @property
    def is_transparent(self) -> bool:
        """Tell whether some pixel is not opaque."""
        return self.alpha is not None


def decode(
    data: bytes, *, limits: DecodeLimits | None = None, shrink_to: int | None = None
) -> Picture:
    """Decode a picture's bytes by their content.

    Args:
        data: the whole file.
        limits: bounds on bytes, pixels, memory and frames.
        shrink_to: allow shrinking while both sides stay at least this long.

    Raises:
        ImageError: with a reason of `domain.reasons`; nothing else escapes.
    """
    limits = limits or DecodeLimits()
    if len(data) > limits.max_bytes:
        raise ImageError(
            reasons.TOO_MANY_BYTES,
            f"{len(data)} bytes are over the bound of {limits.max_bytes}",
            hint="raise the bound on bytes, or shrink the picture",
        )
    format = sniff(data)
    try:
        with _quiet():
            if format == "jpeg":
                return _decode_jpeg(data, limits, shrink_to)
            return _decode_other(data, format, limits, shrink_to)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(reasons.TOO_MANY_PIXELS, "not enough memory to decode it") from error
    except _DECODER_ERRORS as error:
        raise _judge(data, format, error) from error


def _judge(data: bytes, format: Format, error: Exception) -> ImageError:
    """Name the reason of a decoder's failure: bombed, cut off, or damaged."""
    what = f"{format}: {str(error)[:200] or type(error).__name__}"
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(reasons.TOO_MANY_PIXELS, what)
    if is_truncated(data, format):
        return ImageError(reasons.TRUNCATED, what, hint="fetch or copy the file again")
    return ImageError(reasons.CORRUPT, what)


def _check_size(size: tuple[int, int], limits: DecodeLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageError(
            reasons.TOO_MANY_PIXELS,
            f"{width}×{height} is over the bound of {limits.max_pixels} pixels",
            hint="raise the bound on pixels, or shrink the picture",
        )
    if min(width, height) < limits.min_side:
        raise ImageError(
            reasons.TOO_SMALL, f"{width}×{height} has a side under {limits.min_side} pixels"
        )


def _check_memory(needed: int, limits: DecodeLimits) -> None:
    if needed > limits.max_memory_bytes:
        raise ImageError(
            reasons.TOO_MANY_PIXELS,
            f"decoding would take {needed >> 20} MiB, over the bound of "
            f"{limits.max_memory_bytes >> 20} MiB",
            hint="raise the bound on memory, or shrink the picture",
        )


def _decode_jpeg(data: bytes, limits: DecodeLimits, shrink_to: int | None) -> Picture:
    parts = split_jpeg(data) or JpegParts(clean=data)
    image = JpegImageFile(io.BytesIO(parts.clean))
    width, height = image.size
    _check_size(image.size, limits)
    if shrink_to is not None and min(width, height) >= 2 * shrink_to:
        image.draft(None, (shrink_to, shrink_to))
    held = image.size[0] * image.size[1] * 4
    if parts.is_progressive:
        held += width * height * parts.components * 2
    _check_memory(held, limits)
    image.load()
    metadata = read_metadata(jpeg_blocks(parts))
    profile = parts.icc[:_MAX_PROFILE_BYTES]
    pixels = set_upright(to_srgb(shrink_whole(image, shrink_to), profile), metadata.orientation)
    is_plain = metadata.orientation == 1 and parts.components in {1, 3}
    is_showable = is_plain and parts.is_whole_alone and (not profile or pixels is image)
    return Picture(
        pixels=pixels,
        width=height if metadata.orientation >= 5 else width,
        height=width if metadata.orientation >= 5 else height,
        format="jpeg",
        metadata=metadata,
        clean_jpeg=parts.clean if is_showable else None,
    )


def _decode_other(
    data: bytes, format: Format, limits: DecodeLimits, shrink_to: int | None
) -> Picture:
    if format == "webp" and (size := webp_size(data)):
        _check_size(size, limits)
        _check_memory(size[0] * size[1] * _WEBP_CANVAS_BYTES, limits)
    elif format == "png" and len(data) >= 24:
        stated = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        _check_size(stated, limits)
    if format in {"webp", "avif", "heic"} and is_truncated(data, format):
        raise ImageError(reasons.TRUNCATED, f"{format}: the file ends inside its container")
    image = _opener(format)(io.BytesIO(data))
    _check_size(image.size, limits)
    if cannot_hold(data, format, image.size[0] * image.size[1]):
        raise _judge(data, format, ValueError("too few bytes for its size"))
    _check_memory(image.size[0] * image.size[1] * _held_bytes(image), limits)
    if isinstance(image, TiffImageFile):
        _refuse_raw(image)
    frames = _count_frames(image, data, format, limits)
    is_animated = frames > 1 and format in _ANIMATED_FORMATS
    image.load()
    metadata = read_metadata(blocks_of(image, data, format))
    if format == "tiff":
        metadata = replace(metadata, orientation=1)  # Pillow has turned it
    width, height = image.size
    frame = _telling_frame(image, frames) if is_animated else image
    flat, alpha = split_alpha(shrink_whole(frame, shrink_to))
    profile = _profile_of(image)
    pixels = set_upright(to_srgb(shrink_whole(flat, shrink_to), profile), metadata.orientation)
    if alpha is not None:
        alpha = set_upright(shrink_whole(alpha, shrink_to), metadata.orientation)
    return Picture(
        pixels=pixels,
        width=height if metadata.orientation >= 5 else width,
        height=width if metadata.orientation >= 5 else height,
        format=format,
        frames=frames,
        is_animated=is_animated,
        alpha=alpha,
        metadata=metadata,
    )


def _opener(format: Format) -> type[ImageFile.ImageFile]:
    return _heif_opener() if format == "heic" else _OPENERS[format]


@lru_cache(maxsize=1)
def _heif_opener() -> type[ImageFile.ImageFile]:
    """Import the HEIF reader when the first such file comes; it is slow to load."""
    from pillow_heif import HeifImageFile

    return HeifImageFile


def _held_bytes(image: Image.Image) -> int:
    """Return the bytes a pixel that decoding and converting hold at once."""
    if image.mode in {"1", "L"} and "transparency" not in image.info:
        return 5
    if image.mode in {"F", "I"} or image.mode.startswith("I;16"):
        return 12
    return 4 if image.mode == "RGB" and "transparency" not in image.info else 9


def _refuse_raw(image: TiffImageFile) -> None:
    """Refuse camera raw files that wear TIFF's clothes; their first page is a thumbnail."""
    tags = image.tag_v2
    if _TAG_DNG in tags or tags.get(_TAG_SUBFILE) == 1:
        raise ImageError(reasons.UNSUPPORTED, "camera raw is not decoded")


def _count_frames(
    image: ImageFile.ImageFile, data: bytes, format: Format, limits: DecodeLimits
) -> int:
    if format == "gif":
        counted = count_gif_frames(data, at_most=limits.max_frames)
        frames = max(counted.count, 1)
        if counted.is_cut:
            raise ImageError(reasons.TRUNCATED, "gif: the file ends inside a frame")
    else:
        frames = int(getattr(image, "n_frames", 1))
    if frames > limits.max_frames:
        raise ImageError(
            reasons.TOO_MANY_PIXELS, f"more than {limits.max_frames} frames (a frame bomb)"
        )
    return frames


def _telling_frame(image: ImageFile.ImageFile, frames: int) -> Image.Image:
    """Return the first frame, or one soon after it when that one is blank."""
    first = image.copy()
    first.info = dict(image.info)
    if not _is_blank(first):
        return first
    for number in _LATER_FRAMES:
        if number >= frames:
            break
        try:
            image.seek(number)
            image.load()
        except _DECODER_ERRORS:
            break
        if not _is_blank(image):
            return image
    return first


def _is_blank(image: Image.Image) -> bool:
    """Tell whether all pixels are the same or none can be seen."""
    flat, alpha = split_alpha(image)
    if alpha is not None and alpha.getextrema() == (0, 0):
        return True
    bands = flat.convert("RGB").getextrema()
    return all(isinstance(band, tuple) and band[0] == band[1] for band in bands)


def _profile_of(image: Image.Image) -> bytes:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE_BYTES else b""


class _Quiet:
    """Pillow's warnings are off while at least one decode runs, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._saved: warnings.catch_warnings[None] | None = None

    def enter(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")

    def leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0 and self._saved is not None:
                self._saved.__exit__(None, None, None)
                self._saved = None


_QUIET: Final = _Quiet()


@contextmanager
def _quiet() -> Generator[None]:
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
