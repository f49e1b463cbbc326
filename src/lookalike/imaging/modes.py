"""Bring every mode of pixel to upright sRGB, eight bits a channel, with its alpha apart."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

_TRANSPOSE: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to the move that sets a picture upright."""

_ALPHA_MODES: Final = frozenset(("RGBA", "LA", "PA", "RGBa", "La"))
_REDUCIBLE: Final = frozenset(("L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "F", "I"))
_PROFILE_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_NO_CACHE: Final = 0x0040
"""lcms's cmsFLAGS_NOCACHE, which makes a transform safe to share between threads."""

_SRGB_MARKS: Final = (b"sRGB", b"s\0R\0G\0B")


def set_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn or mirror a picture as its EXIF orientation (1 to 8) asks."""
    move = _TRANSPOSE.get(orientation)
    return image if move is None else image.transpose(move)


def shrink_whole(image: Image.Image, shrink_to: int | None) -> Image.Image:
    """Shrink by a whole factor while both sides stay at least `shrink_to`."""
    factor = min(image.size) // shrink_to if shrink_to else 1
    if factor < 2:
        return image
    if image.mode in {"1", "P"} and "transparency" not in image.info:
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.reduce(factor) if image.mode in _REDUCIBLE else image


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the picture in a mode without alpha, and its alpha where it is not fully opaque.

    Transparent pixels are laid on white.
    """
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image, None
    rgba = image if image.mode == "RGBA" else _to_rgba(image)
    alpha = rgba.getchannel("A")
    lowest, _ = alpha.getextrema()
    if isinstance(lowest, (int, float)) and lowest >= 255:
        return rgba.convert("RGB"), None
    flat = Image.new("RGB", rgba.size, (255, 255, 255))
    flat.paste(rgba, mask=alpha)
    return flat, alpha


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode in {"PA", "La"}:
        return image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    if image.mode.startswith("I;16") or image.mode in {"I", "F", "1"}:
        return _depth_to_grey(image).convert("RGBA")
    return image.convert("RGBA")


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture as sRGB in mode RGB; a broken or unfit profile is ignored."""
    if image.mode in {"F", "I", "1"} or image.mode.startswith("I;16"):
        image = _depth_to_grey(image)
    if image.mode == "LAB":
        profile = _lab_profile()
    if profile and not is_srgb(profile) and (converted := _apply_profile(image, profile)):
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def is_srgb(profile: bytes) -> bool:
    """Tell whether an ICC profile names itself sRGB, so that nothing needs converting."""
    return any(mark in profile[:4096] for mark in _SRGB_MARKS)


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    mode = _PROFILE_SPACES.get(profile[16:20].decode("latin-1"))
    if mode is None:
        return None
    if image.mode != mode:
        is_rgb_like = mode == "RGB" and image.mode in {"P", "RGBX", "YCbCr", "HSV"}
        if not is_rgb_like:
            return None
        image = image.convert("RGB")
    try:
        return _transform(profile, mode).apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.ImageCmsTransform(
        source,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        mode,
        "RGB",
        ImageCms.Intent.PERCEPTUAL,
        flags=ImageCms.Flags(_NO_CACHE),
    )


@lru_cache(maxsize=1)
def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB", 5000)).tobytes()


def _depth_to_grey(image: Image.Image) -> Image.Image:
    """Scale one channel of 1, 16 or 32 bits or floats to eight bits, never clipping.

    Sixteen bits scale by their full range. Numbers of unstated range (32-bit and floats
    outside [0, 1]) are stretched between their least and greatest.
    """
    if image.mode == "1":
        return image.convert("L")
    values = np.asarray(image)
    if image.mode.startswith("I;16") or values.dtype == np.uint16:
        return Image.fromarray((values >> 8).astype(np.uint8))
    floats = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(floats.min()), float(floats.max())
    if image.mode == "I" and low >= 0 and high <= 65535:
        low, high = (0.0, 255.0) if high <= 255 else (0.0, 65535.0)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = max(high - low, 1e-12)
    grey = (np.clip((floats - low) / span, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return Image.fromarray(grey)
