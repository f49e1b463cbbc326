"""Filters: conditions that an image meets or not, and what they mean for a record.

`matches` is the reference meaning; every store that compiles a filter agrees with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from lookalike.domain.errors import FilterError, suggest_names
from lookalike.domain.images import COLOR_NAMES, KINDS
from lookalike.domain.licences import GROUP_ALIASES, GROUPS, licence_matches, normalise_licence
from lookalike.domain.objects import counts_of
from lookalike.domain.shades import is_shade, parse_shade, shades_borne, shades_near

if TYPE_CHECKING:
    from lookalike.domain.images import ImageRecord

WordField: TypeAlias = Literal["type", "color", "licence", "site", "aspect", "size"]
NumberField: TypeAlias = Literal["width", "height", "pixels", "bytes", "taken", "seen"]

WORD_FIELDS: Final = ("type", "color", "licence", "site", "aspect", "size")
NUMBER_FIELDS: Final = ("width", "height", "pixels", "bytes", "taken", "seen")

TYPES: Final = (*KINDS, "animated", "transparent")
ASPECTS: Final = ("square", "wide", "tall", "panorama")
SIZES: Final = ("icon", "small", "medium", "large", "huge")

SQUARE_RATIOS: Final = (0.9, 1.1)
PANORAMA_RATIO: Final = 2.0
SIZE_PIXELS: Final[dict[str, tuple[int, int | None]]] = {
    "icon": (0, 128 * 128),
    "small": (0, 200 * 200 - 1),
    "medium": (200 * 200, 500 * 500 - 1),
    "large": (500 * 500, None),
    "huge": (2000 * 2000, None),
}
"""Inclusive bounds on width × height; `icon` lies within `small` and `huge` within `large`."""

_COLOR_ALIASES: Final = {"gray": "grey", "violet": "purple", "magenta": "pink", "cyan": "blue"}
_ASPECT_ALIASES: Final = {
    "landscape": "wide",
    "horizontal": "wide",
    "portrait": "tall",
    "vertical": "tall",
    "panoramic": "panorama",
}


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field's value (or one of its values) is among `values`.

    A colour by value (`#ff8800~15`) stands for all that lie within its tolerance.
    """

    field: WordField
    values: frozenset[str]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """The number lies in the closed range; an absent number meets no range.

    Dates (`taken`, `seen`) are seconds since the epoch. `taken` falls back to when
    the image was first seen, so that undated pictures still have a date.
    """

    field: NumberField
    low: float | None = None
    high: float | None = None
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class HasObject:
    """At least `at_least` and at most `at_most` detected objects bear the label.

    Or they belong to the super-class of that name (`domain.objects.counts_of`).
    """

    label: str
    at_least: int = 1
    at_most: int | None = None
    is_negated: bool = False


Condition: TypeAlias = OneOf | Between | HasObject


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold; an empty filter lets every image pass."""

    conditions: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is any condition."""
        return bool(self.conditions)

    def __and__(self, other: Filter) -> Filter:
        """Return the filter that demands both."""
        return Filter(self.conditions + other.conditions)


def one_of(field: str, values: str, *, is_negated: bool = False) -> OneOf:
    """Build a `OneOf` from text such as `red,blue`; unknown values raise `FilterError`."""
    stripped = (value.strip() for value in values.split(","))
    wanted = frozenset(_canonical(field, value) for value in stripped if value)
    if not wanted:
        raise FilterError(f"{field}: needs a value", hint=_known_hint(field))
    return OneOf(field, wanted, is_negated)  # pyright: ignore[reportArgumentType]


def _canonical(field: str, value: str) -> str:
    value = value.lower()
    if field == "licence":
        value = GROUP_ALIASES.get(value, value)
        return value if value in GROUPS else normalise_licence(value)
    if field == "color" and is_shade(value):
        return str(parse_shade(value))
    if field == "site":
        return value.removeprefix("www.").rstrip("/.")
    value = {"color": _COLOR_ALIASES, "aspect": _ASPECT_ALIASES}.get(field, {}).get(value, value)
    known = _known(field)
    if value not in known:
        raise FilterError(f"{field}:{value} is not known", hint=suggest_names(value, known))
    return value


def _known(field: str) -> tuple[str, ...]:
    known = {"type": TYPES, "color": COLOR_NAMES, "aspect": ASPECTS, "size": SIZES}.get(field)
    if known is None:
        raise FilterError(f"there is no filter {field}:", hint=suggest_names(field, WORD_FIELDS))
    return known


def _known_hint(field: str) -> str:
    return f"one of: {', '.join(_known(field))}" if field not in {"licence", "site"} else ""


def parse_date(text: str, *, is_end: bool = False) -> float:
    """Return epoch seconds (UTC) for `2024`, `2024-05`, `2024-05-31` or an ISO time.

    With `is_end`, the last second that the text covers.
    """
    parts = text.strip().split("-")
    try:
        if len(parts) == 1 and len(text.strip()) == 4:
            begin = datetime(int(text), 1, 1, tzinfo=UTC)
            end = datetime(int(text) + 1, 1, 1, tzinfo=UTC) if int(text) < 9999 else begin
        elif len(parts) == 2:
            year, month = int(parts[0]), int(parts[1])
            begin = datetime(year, month, 1, tzinfo=UTC)
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        elif len(parts) == 3 and len(text.strip()) <= 10:
            begin = datetime(int(parts[0]), int(parts[1]), int(parts[2]), tzinfo=UTC)
            end = begin + timedelta(days=1)
        else:
            begin = datetime.fromisoformat(text.strip())
            begin = begin if begin.tzinfo else begin.replace(tzinfo=UTC)
            end = begin + timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"{text!r} is not a date", hint="write 2024, 2024-05 or 2024-05-31"
        ) from error
    return end.timestamp() - 1 if is_end else begin.timestamp()


def aspects_of(width: int, height: int) -> frozenset[str]:
    """Return the aspect words that describe a picture of that size."""
    ratio = width / max(height, 1)
    low, high = SQUARE_RATIOS
    if low <= ratio <= high:
        return frozenset({"square"})
    words = {"wide"} if ratio > high else {"tall"}
    if ratio >= PANORAMA_RATIO:
        words.add("panorama")
    return frozenset(words)


def sizes_of(width: int, height: int) -> frozenset[str]:
    """Return the size words that describe a picture of that size."""
    pixels = width * height
    return frozenset(
        word
        for word, (low, high) in SIZE_PIXELS.items()
        if pixels >= low and (high is None or pixels <= high)
    )


def site_matches(site: str, wanted: str) -> bool:
    """Tell whether `site` is the wanted site or a sub-domain of it."""
    return site == wanted or site.endswith("." + wanted)


def matches(record: ImageRecord, filter_: Filter) -> bool:
    """Tell whether a record meets every condition: the reference meaning of a filter."""
    return all(_meets(record, condition) for condition in filter_.conditions)


def _meets(record: ImageRecord, condition: Condition) -> bool:
    if isinstance(condition, OneOf):
        is_met = _meetswords_of(record, condition)
    elif isinstance(condition, Between):
        value = number_of(record, condition.field)
        low, high = condition.low, condition.high
        is_met = (low is None or value >= low) and (high is None or value <= high)
    else:
        count = counts_of(record.objects).get(condition.label, 0)
        at_most = condition.at_most
        is_met = count >= condition.at_least and (at_most is None or count <= at_most)
    return is_met != condition.is_negated


def _meetswords_of(record: ImageRecord, condition: OneOf) -> bool:
    wanted = condition.values
    if condition.field == "licence":
        return any(licence_matches(has, want) for has in record.licences for want in wanted)
    if condition.field == "site":
        return any(site_matches(has, want) for has in record.sites for want in wanted)
    if condition.field == "color" and (values := {one for one in wanted if is_shade(one)}):
        borne = shades_borne(record.facts.palette)
        if any(borne & shades_near(value) for value in values):
            return True
    return bool(words_of(record, condition.field) & wanted)


def words_of(record: ImageRecord, field: str) -> frozenset[str]:
    """Return what a record bears of the words of `type`, `color`, `aspect` or `size`."""
    facts = record.facts
    if field == "type":
        flags = {"animated"} if facts.is_animated else set[str]()
        if facts.is_transparent:
            flags.add("transparent")
        return frozenset({facts.kind} | flags)
    if field == "color":
        return frozenset(facts.color_tags)
    if field == "aspect":
        return aspects_of(facts.width, facts.height)
    return sizes_of(facts.width, facts.height)


def number_of(record: ImageRecord, field: str) -> float:
    """Return a record's number; `taken` is when it was first seen where no date is known."""
    facts = record.facts
    if field == "taken":
        return record.taken if record.taken is not None else record.first_seen
    if field == "seen":
        return record.first_seen
    numbers = {"width": facts.width, "height": facts.height, "bytes": facts.bytes}
    return float(numbers.get(field, facts.width * facts.height))
