"""Plain language about objects: `a photo with two dogs but no people` is a filter.

A small grammar over the names of `domain.objects`. It reads a text only as a whole, and only where
it counts, refuses, or says that pictures contain something: `a dog` and `dog on a beach` stay
words, since a detector overlooks much that words would still find: as a filter, `a dog` ranked
worse (mean AP .52 against .64 over 59 labels, eval/objects/queries.json).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from lookalike.domain.errors import FilterError
from lookalike.domain.filters import HasObject
from lookalike.domain.objects import Name, longest_name, name_of, normal_label, resolve_label

MOST_COUNTED: Final = 100
"""A larger number in front of a name is no count (`2024 cars`)."""

MOST_READ: Final = 40
"""Words of a text that may be such an expression."""

Phrase = tuple[str, ...]


def _phrases(text: str) -> tuple[Phrase, ...]:
    """Return phrases separated by bars, those with more words first."""
    phrases = (tuple(phrase.split()) for phrase in text.split("|"))
    return tuple(sorted(phrases, key=len, reverse=True))


_ASKS: Final = _phrases(
    "show|show me|find|find me|search|search for|give me|get|get me|i want|i want to see|i need"
    "|looking for|look for|i am looking for|i'm looking for|please show me"
)
_DETERMINERS: Final = _phrases("a|an|the|all|any|some|every|all the|more|other|my")
_PICTURES: Final = frozenset(
    noun + ending
    for noun in ("image", "picture", "photo", "photograph", "pic", "shot", "snapshot")
    for ending in ("", "s")
)
_OF: Final = _phrases("of|showing|that show|that shows|which show|depicting|that depict")
_WITH: Final = _phrases(
    "with|containing|that contain|that contains|which contain|which contains|contain|contains"
    "|having|that have|that has|which have|which has|have|has|featuring|that feature|including"
    "|that include|where there is|where there are|in which there is|in which there are"
    "|with there being"
)
_WITHOUT: Final = _phrases(
    "without|without any|not containing|not containing any|not showing|that do not contain"
    "|that do not contain any|that don't contain|that don't contain any|that do not have"
    "|that do not have any|that don't have|that don't have any|which do not contain|free of"
    "|not having|excluding"
)
_JOINS: Final = _phrases(
    "and|and also|but|but with|and with|with|plus|as well as|together with|along with|&|+"
    "|and at the same time"
)
_REFUSALS: Final = _phrases(
    "no|not any|zero|0|but no|and no|with no|but with no|and with no|nor|but not|and not"
    "|neither|with neither|without|without any|but without|and without|but without any"
    "|and without any|excluding"
)
_PLACES: Final = _phrases(
    "in it|in them|in the picture|in the image|in the photo|in a picture|in an image|in a photo"
    "|in one picture|in one image|in one photo|in the frame|on it|on them|together"
)
_NUMBER_WORDS: Final = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty
"""
_NUMBERS: Final = {word: number for number, word in enumerate(_NUMBER_WORDS.split(), 1)}
_COUPLES: Final = _phrases("a couple of|a pair of|a couple|couple of|pair of|both")
_MANY: Final = _phrases(
    "several|many|a few|few|multiple|various|numerous|lots of|a lot of|lot of|plenty of"
    "|a group of|group of|a bunch of|a crowd of|a herd of|a flock of|groups of"
    "|herds of|more than one"
)
_ARTICLES: Final = _phrases("a|an|the|some|any|some of the|another")
_AT_LEAST: Final = _phrases("at least|no fewer than|no less than|minimum|>=")
_AT_MOST: Final = _phrases("at most|up to|no more than|not more than|maximum|<=")
_ABOVE: Final = _phrases("more than|over|>")
_BELOW: Final = _phrases("fewer than|less than|under|<")
_EXACTLY: Final = _phrases("exactly|only|just|precisely")
_OR_MORE: Final = _phrases("or more|or more of|and more|plus")
_OR_FEWER: Final = _phrases("or fewer|or less")

_AMBIGUOUS: Final = frozenset({"mouse", "mice", "plant", "plants", "coach", "coaches", "ram"})
"""Names whose everyday sense no detector knows; `has:` takes them."""

_PAIRED: Final = frozenset({"scissors", "skis"})
"""Things a pair of which is one."""

_COLOUR: Final = "orange"
"""Without article or number it is a colour."""

_WORDS: Final = re.compile(r",|[^\s,]+")
_RANGE: Final = re.compile(r"(\d{1,3})(?:-|–|\.\.)(\d{1,3})", re.ASCII)
_COUNT: Final = re.compile(r"(\d{1,3})(\+?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text read as conditions; `words` is what is left of it to rank by, perhaps nothing."""

    conditions: tuple[HasObject, ...]
    words: str


@dataclass(frozen=True, slots=True)
class _Count:
    """How many are asked for; `shown` is what of it is worth searching for as words."""

    low: int = 1
    high: int | None = None
    shown: str = ""
    is_stated: bool = True


@dataclass(slots=True)
class _Text:
    """The words of a text and how far they are read."""

    words: list[str]
    known: Collection[str]
    place: int = 0
    is_stated: bool = False
    conditions: list[HasObject] = field(default_factory=list[HasObject])
    shown: list[str] = field(default_factory=list[str])

    @property
    def is_read(self) -> bool:
        return self.place >= len(self.words)

    def peek(self) -> str:
        return "" if self.is_read else self.words[self.place]

    def take(self, phrases: Iterable[Phrase]) -> str:
        """Read the first of the phrases that comes next; return it, or nothing."""
        for phrase in phrases:
            end = self.place + len(phrase)
            if tuple(self.words[self.place : end]) == phrase:
                self.place = end
                return " ".join(phrase)
        return ""


def read_objects(text: str, known: Collection[str] = ()) -> Reading | None:
    """Return the conditions that a whole text states about objects, None where it does not.

    `known` are the labels of another detector that the index holds. The text is what a user
    wrote outside quotes.
    """
    words = [
        bare
        for word in _WORDS.findall(text.lower().replace("’", "'"))
        if (bare := word if word in {",", "&", "+"} else word.strip(".;:!?()"))
    ]
    if not 0 < len(words) <= MOST_READ:
        return None
    read = _Text(words, [normal_label(label) for label in known])
    is_refused = _read_frame(read)
    if is_refused is None or not _read_items(read, is_refused=is_refused) or not read.is_stated:
        return None
    conditions = tuple(dict.fromkeys(read.conditions))
    return Reading(conditions, " and ".join(dict.fromkeys(read.shown)))


def shown_condition(condition: HasObject) -> str:
    """Return a condition as people read it: `dog ≥ 2`, `no person`.

    >>> shown_condition(HasObject("dog", 2, 4))
    'dog 2–4'
    """
    low, high = condition.at_least, condition.at_most
    if (low, high) == (1, None):
        shown = condition.label
    elif high is None:
        shown = f"{condition.label} ≥ {low}"
    elif low <= 0:
        shown = f"{condition.label} ≤ {high}"
    else:
        shown = f"{condition.label} " + (f"= {low}" if low == high else f"{low}–{high}")
    return f"no {shown}" if condition.is_negated else shown


def _read_frame(read: _Text) -> bool | None:
    """Read what comes before the objects; tell whether it refuses them, None for no text of ours.

    `of` and `showing` state nothing: `a photo of a dog` is as good as `a dog`.
    """
    read.take(_ASKS)
    begin = read.place
    read.take(_DETERMINERS)
    if read.peek() in _PICTURES:
        read.place += 1
        if read.take(_WITHOUT):
            read.is_stated = True
            return True
        if read.take(_WITH):
            read.is_stated = True
            return False
        return False if read.take(_OF) else None
    read.place = begin
    if read.take(_WITHOUT):
        read.is_stated = True
        return True
    if read.take(_WITH):
        read.is_stated = True
    return False


def _read_items(read: _Text, *, is_refused: bool) -> bool:
    """Read objects up to the end; tell whether nothing else is there."""
    while True:
        is_refused = _read_refusal(read) or is_refused
        if not _read_item(read, is_refused=is_refused):
            return False
        read.take(_PLACES)
        if read.is_read:
            return True
        has_comma = bool(read.take(((",",),)))
        begin = read.place
        if _read_refusal(read):
            read.place = begin
            continue
        join = read.take((*_JOINS, ("or",)) if is_refused else _JOINS)
        if not (has_comma or join):
            return False
        is_refused = is_refused and join in {"", "and", "or"}


def _read_refusal(read: _Text) -> bool:
    begin = read.place
    if read.take(_AT_MOST) or read.take(_AT_LEAST):  # "no more than two"
        read.place = begin
        return False
    return bool(read.take(_REFUSALS))


def _read_item(read: _Text, *, is_refused: bool) -> bool:
    count = _Count(is_stated=False) if is_refused and read.take((("any",),)) else _read_count(read)
    if count is None:
        return False
    found = _read_name(read)
    if found is None:
        return False
    name, written = found
    if written == _COLOUR and not (count.shown or count.is_stated):
        return False
    if read.take(_OR_MORE):
        count = _Count(count.low)
    elif read.take(_OR_FEWER):
        count = _Count(0, count.low)
    if is_refused:
        if name.is_narrow or count.is_stated:
            return False
        read.is_stated = True
        read.conditions.append(HasObject(name.label, is_negated=True))
        return True
    read.is_stated = read.is_stated or count.is_stated
    read.conditions.append(HasObject(name.label, count.low, count.high))
    read.shown.append(f"{count.shown} {written}".strip())
    return True


def _read_count(read: _Text) -> _Count | None:
    """Read how many; None where a number should come and does not."""
    begin = read.place
    if couple := read.take(_COUPLES):
        if read.peek() not in _PAIRED:
            return _Count(2)
        read.place = begin + couple.startswith("a ")
        return _Count(shown="a" if couple.startswith("a ") else "", is_stated=False)
    if read.take(_MANY):
        return _Count(2)
    if read.take((("a", "dozen"),)):
        return _Count(12)
    for phrases, bounds in _BOUNDS:
        if read.take(phrases):
            number = _read_number(read)
            return None if number is None else _bounded(bounds, number)
    if read.take((("between",),)):
        low, joined, high = _read_number(read), read.take((("and",),)), _read_number(read)
        return _ranged(low, high) if joined else None
    if found := _RANGE.fullmatch(read.peek()):
        read.place += 1
        return _ranged(int(found[1]), int(found[2]))
    number = _read_number(read)
    if number is not None:
        return _read_number_end(read, number, " ".join(read.words[begin : read.place]))
    return _Count(shown=_article(read.take(_ARTICLES)), is_stated=False)


_BOUNDS: Final = (
    (_AT_LEAST, (0, None)),
    (_AT_MOST, (None, 0)),
    (_ABOVE, (1, None)),
    (_BELOW, (None, -1)),
    (_EXACTLY, (0, 0)),
)
"""What a number says of the lowest and the highest count after each of the phrases."""


def _bounded(bounds: tuple[int | None, int | None], number: int) -> _Count | None:
    low, high = (None if bound is None else number + bound for bound in bounds)
    return None if high is not None and high < 0 else _Count(low or 0, high)


def _ranged(low: int | None, high: int | None) -> _Count | None:
    return _Count(low, high) if low is not None and high is not None and low <= high else None


def _read_number_end(read: _Text, number: int, written: str) -> _Count | None:
    """Read what may follow a number: `or more`, `to four`, `or three`."""
    if written.endswith("+") or read.take(_OR_MORE):
        return _Count(number)
    if read.take(_OR_FEWER):
        return _Count(0, number)
    if read.take((("to",), ("or",))):
        return _ranged(number, _read_number(read))
    read.take((("of",),))
    return _Count(number, shown=written)


def _read_number(read: _Text) -> int | None:
    word = read.peek()
    found = _COUNT.fullmatch(word)
    number = int(found[1]) if found else _NUMBERS.get(word)
    if number is None or not 0 < number <= MOST_COUNTED:
        return None
    read.place += 1
    return number


def _article(word: str) -> str:
    return word if word in {"a", "an", "the"} else ""


def _read_name(read: _Text) -> tuple[Name, str] | None:
    """Read the longest name that comes next; return what it stands for and as it is written."""
    for end in range(min(len(read.words), read.place + longest_name()), read.place, -1):
        words = read.words[read.place : end]
        written = " ".join(words)
        if "," in words or written in _AMBIGUOUS:
            continue
        if name := _name(written, read.known):
            read.place = end
            return name, written
    return None


def _name(written: str, known: Collection[str]) -> Name | None:
    if written in known:
        return Name(written)
    if name := name_of(written):
        return name
    try:
        return Name(resolve_label(written, known)) if known else None
    except FilterError:
        return None
