"""Contact sheets: pictures in rows under headings, with captions, as one picture."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from lookalike.domain.errors import ImageError
from lookalike.imaging.decode import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_GROUND: Final[Colour] = (250, 250, 248)
_CARD: Final[Colour] = (236, 236, 232)
_INK: Final[Colour] = (28, 28, 30)
_FAINT: Final[Colour] = (112, 112, 118)
_ACCENT: Final[Colour] = (38, 96, 164)
_MISSING: Final[Colour] = (150, 60, 60)

_WIDE_FONTS: Final = (
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a sheet, as bytes or a path, with two lines under it.

    A marked tile is framed, as the query's own picture should be.
    """

    image: bytes | Path | Image.Image
    title: str = ""
    subtitle: str = ""
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under one heading, such as the hits of one query."""

    heading: str
    tiles: Sequence[Tile]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ink:
    """How a line is written: its size and colour, and the pixels it may be wide."""

    size: int
    colour: Colour
    room: float


@dataclass(frozen=True, slots=True)
class SheetStyle:
    """Sizes in pixels; `scale` multiplies them all, for sharp screens."""

    columns: int = 6
    tile: int = 200
    gap: int = 14
    margin: int = 28
    scale: float = 1.0

    def px(self, value: float) -> int:
        """Return a length in pixels of the sheet."""
        return max(1, round(value * self.scale))


def contact_sheet(
    tiles: Sequence[Tile], *, title: str = "", columns: int = 6, scale: float = 1.0
) -> Image.Image:
    """Return one section of tiles as a picture."""
    style = SheetStyle(columns=columns, scale=scale)
    return sections_sheet([Section("", tiles)], title=title, style=style)


def sections_sheet(
    sections: Sequence[Section], *, title: str = "", style: SheetStyle | None = None
) -> Image.Image:
    """Return sections of tiles, one below the other, as a picture.

    A picture that cannot be read shows as an empty card that says so.
    """
    style = style or SheetStyle()
    px = style.px
    width = px(2 * style.margin + style.columns * (style.tile + style.gap) - style.gap)
    top = px(style.margin) + (px(48) if title else 0)
    height = top + sum(_section_height(section, style) for section in sections) + px(10)
    sheet = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(sheet)
    if title:
        at = (px(style.margin), px(style.margin - 4))
        _write(draw, at, title, Ink(px(27), _INK, width - 2 * at[0]))
    for section in sections:
        _draw_section(sheet, section, top, style)
        top += _section_height(section, style)
    return sheet


def to_png(sheet: Image.Image) -> bytes:
    """Return the sheet as PNG bytes."""
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _row_height(style: SheetStyle) -> int:
    return style.px(style.tile + 46 + style.gap)


def _section_height(section: Section, style: SheetStyle) -> int:
    rows = max(-(-len(section.tiles) // style.columns), 1 if section.heading else 0)
    heading = style.px(40) if section.heading else 0
    return heading + rows * _row_height(style) + style.px(14)


def _draw_section(sheet: Image.Image, section: Section, top: int, style: SheetStyle) -> None:
    px = style.px
    draw = ImageDraw.Draw(sheet)
    if section.heading:
        left = px(style.margin)
        room = sheet.width - 2 * left
        used = _write(draw, (left, top), section.heading, Ink(px(19), _ACCENT, room))
        after = left + round(used) + px(12)
        note = Ink(px(14), _FAINT, max(sheet.width - left - after, 0))
        _write(draw, (after, top + px(4)), section.note, note)
        top += px(40)
    for i, tile in enumerate(section.tiles):
        row, column = divmod(i, style.columns)
        x = px(style.margin) + column * px(style.tile + style.gap)
        _draw_tile(sheet, tile, (x, top + row * _row_height(style)), style)


def _draw_tile(sheet: Image.Image, tile: Tile, at: tuple[int, int], style: SheetStyle) -> None:
    px = style.px
    side = px(style.tile)
    draw = ImageDraw.Draw(sheet)
    box = (at[0], at[1], at[0] + side, at[1] + side)
    draw.rounded_rectangle(box, radius=px(8), fill=_CARD)
    picture = _load(tile.image, side)
    if picture is None:
        place = (at[0] + px(14), at[1] + side // 2)
        _write(draw, place, "unreadable", Ink(px(14), _MISSING, side))
    else:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        corner = (at[0] + (side - picture.width) // 2, at[1] + (side - picture.height) // 2)
        sheet.paste(picture, corner)
    if tile.is_marked:
        draw.rounded_rectangle(box, radius=px(8), outline=_ACCENT, width=px(3))
    text_top = at[1] + side + px(6)
    _write(draw, (at[0], text_top), tile.title, Ink(px(14), _INK, side))
    _write(draw, (at[0], text_top + px(19)), tile.subtitle, Ink(px(12), _FAINT, side))


def _load(source: bytes | Path | Image.Image, side: int) -> Image.Image | None:
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
        return decode(data, shrink_to=side).pixels.copy()
    except (ImageError, OSError):
        return None


@lru_cache(maxsize=64)
def _font(size: int) -> Font:
    """Return Pillow's own scalable font."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _wide_font(size: int) -> Font | None:
    """Return a font of the system that has the letters of many languages, if there is one."""
    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


@lru_cache(maxsize=4096)
def _is_drawn(letter: str) -> bool:
    """Tell whether Pillow's own font has the letter: a missing one is drawn as a box."""
    return _drawing(letter) != _drawing("\uffff")


def _drawing(letter: str) -> bytes:
    image = Image.new("1", (48, 48))
    ImageDraw.Draw(image).text((4, 4), letter, fill=1, font=_font(20))
    return image.tobytes()


def set_type(text: str, size: int) -> tuple[str, Font]:
    """Return the text as one line that can be drawn, and the font to draw it with.

    Letters that Pillow's own font lacks are drawn with a font of the system; where that is
    missing too, accents are dropped and other letters become question marks.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if all(c.isascii() or _is_drawn(c) for c in line):
        return line, _font(size)
    if (wide := _wide_font(size)) is not None:
        return line, wide
    plain = (c for c in unicodedata.normalize("NFKD", line) if not unicodedata.combining(c))
    return "".join(c if c.isascii() or _is_drawn(c) else "?" for c in plain), _font(size)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, ink: Ink) -> float:
    """Write one line and return how wide it came out."""
    line, font = set_type(text, ink.size)
    line = fit_text(line, font, ink.room)
    if line:
        draw.text(at, line, fill=ink.colour, font=font)
    return font.getlength(line)


def fit_text(text: str, font: Font, room: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than `room` pixels."""
    if font.getlength(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + "…") <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"
