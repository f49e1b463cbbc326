"""Completing a line of the query language at its end: words, filters and their values, objects.

What is offered are whole lines: the one that was typed, its last piece completed. Where words and
past queries come from is handed in.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from lookalike.domain.filters import ASPECTS, SIZES, TYPES
from lookalike.domain.images import COLOR_NAMES
from lookalike.domain.licences import GROUP_ALIASES, GROUPS, PUBLIC_DOMAIN, RESERVED, UNKNOWN
from lookalike.domain.query_filters import ALIASES, FILTER_NAMES
from lookalike.domain.query_tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Kind: TypeAlias = Literal["past", "word", "filter", "value", "label"]

MOST_COMPLETED: Final = 20
LONGEST_COMPLETED: Final = 200
"""Characters; a longer line is pasted, not typed."""

LEAST_NAME: Final = 2
LEAST_LABEL: Final = 3
"""Letters typed before names of filters and objects stand among the words."""

MOST_PAST: Final = 3
MOST_BESIDE: Final = 2
"""Past queries, and filters and objects each, that may stand among the words."""

_NAMES: Final = (*FILTER_NAMES, "date", "text")
_SPELLINGS: Final = ("colour", "license")
_LICENCES: Final = (
    *GROUPS, *GROUP_ALIASES, "cc0", "cc-by", "cc-by-sa", "cc-by-nc", "cc-by-nd", "cc-by-4.0",
    PUBLIC_DOMAIN, RESERVED, UNKNOWN,
)  # fmt: skip
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "color": COLOR_NAMES,
    "type": TYPES,
    "size": SIZES,
    "aspect": ASPECTS,
    "licence": _LICENCES,
}
"""The values of filters that are offered."""

_PIECE: Final = re.compile(
    r"(?P<sign>-?(?:(?:\d{1,2}(?:\.\d{1,17})?|\.\d{1,17}):)?)(?P<name>[A-Za-z][A-Za-z_-]*:)?"
    r'(?P<quote>["“”]?)(?P<value>.*)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole line that is offered; `count` is how often a past query was asked."""

    text: str
    kind: Kind
    count: int | None = None

    def to_json(self) -> dict[str, object]:
        """Return what every interface gives."""
        counted = {} if self.count is None else {"count": self.count}
        return {"text": self.text, "kind": self.kind, **counted}


def complete_line(
    line: str,
    *,
    words: Callable[[str, int], Sequence[str]],
    labels: Iterable[str],
    past: Sequence[tuple[str, int]] = (),
    limit: int = 8,
) -> list[Completion]:
    """Return lines that go on as `line` begins, the likeliest first, none twice.

    `words` gives the most frequent words with a prefix; `labels` are names of objects; `past`
    are queries that begin so, with their counts, the most frequent first.
    """
    if not line.strip() or len(line) > LONGEST_COMPLETED:
        return []
    found = [Completion(text, "past", count) for text, count in past if text != line][:MOST_PAST]
    head, piece = _split(line)
    if piece and (parts := _PIECE.fullmatch(piece)):
        begin, name, value = head + parts["sign"], parts["name"] or "", parts["value"]
        if name:
            found += _values(begin + name, name[:-1].lower(), parts["quote"], value, labels, words)
        else:
            found += _bare(begin, parts["quote"], value, labels, words, limit)
    unique = {one.text: one for one in reversed(found) if one.text != line}
    ordered = dict.fromkeys(one.text for one in found if one.text in unique)
    return [unique[text] for text in ordered][:limit]


def _split(line: str) -> tuple[str, str]:
    """Return what stands and the piece being typed, which is empty after a space."""
    last = next(iter(deque(tokens(line), maxlen=1)), None)
    if last is None or last.begin + len(last.source) != len(line):
        return line, ""
    return line[: last.begin], line[last.begin :]


def _values(
    begin: str,
    name: str,
    quote: str,
    value: str,
    labels: Iterable[str],
    words: Callable[[str, int], Sequence[str]],
) -> Iterator[Completion]:
    """Yield the values of a filter that go on as the last of them begins."""
    name = ALIASES.get(name, name)
    if name == "text":
        for text in _last_word(value, words, MOST_COMPLETED):
            yield Completion(f"{begin}{quote}{text}", "word")
        return
    if name == "has":
        wanted = value.lower().replace(" ", "_")
        for label in sorted(labels):
            written = label.replace(" ", "_")
            if written.startswith(wanted) and not quote:
                yield Completion(begin + written, "label")
        return
    kept, comma, typed = value.rpartition(",")
    given = set(kept.lower().split(","))
    for known in VALUES.get(name, ()):
        if known.startswith(typed.lower()) and known not in given and not quote:
            yield Completion(f"{begin}{kept}{comma}{known}", "value")


def _bare(
    begin: str,
    quote: str,
    value: str,
    labels: Iterable[str],
    words: Callable[[str, int], Sequence[str]],
    limit: int,
) -> list[Completion]:
    """Return words, and filters and objects among them, that begin as the value does."""
    texts = _last_word(value, words, limit)
    found = [Completion(f"{begin}{quote}{text}", "word") for text in texts]
    if quote or " " in value:
        return found
    prefix = value.lower()
    beside: list[Completion] = []
    if len(prefix) >= LEAST_NAME and not begin.endswith(":"):
        names = [name for name in _NAMES if name.startswith(prefix)]
        names = names or [name for name in _SPELLINGS if name.startswith(prefix)]
        beside += [Completion(f"{begin}{name}:", "filter") for name in names][:MOST_BESIDE]
    if len(prefix) >= LEAST_LABEL and not begin.endswith(":"):
        named = sorted(label for label in labels if label.startswith(prefix))
        written = [f"{begin}has:{label.replace(' ', '_')}" for label in named]
        beside += [Completion(text, "label") for text in written][:MOST_BESIDE]
    room = max(1, limit - len(beside))
    return [*found[:room], *beside]


def _last_word(value: str, words: Callable[[str, int], Sequence[str]], limit: int) -> Iterator[str]:
    """Yield a text with its last word completed."""
    head, space, last = value.rpartition(" ")
    if not last:
        return
    for word in words(last, limit):
        if word.startswith(last.lower()) and word != last.lower():
            yield f"{head}{space}{last}{word[len(last) :]}"
        elif word != last.lower():
            yield f"{head}{space}{word}"
