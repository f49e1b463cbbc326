"""The port of click logs: what was shown to users, and what they clicked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.domain.clicks import Click, Session, Shown


@dataclass(frozen=True, slots=True)
class ClickCounts:
    """How much a log holds; times are seconds since 1970, None where it is empty."""

    answers: int
    clicks: int
    oldest: float | None = None
    newest: float | None = None


class ClickLog(Protocol):
    """Answers with the clicks on them, for a bounded time.

    Adding the same answer or click twice equals once. An answer older than the log keeps is gone,
    with its clicks, and reads as unknown.
    """

    def add_answers(self, answers: Sequence[Shown]) -> None:
        """Write answers; each is durable when this returns."""
        ...

    def add_click(self, click: Click) -> None:
        """Write a click.

        Raises:
            UnknownAnswerError: no answer of that id is there.
            ClickError: the image did not stand at that position of it.
        """
        ...

    def sessions(
        self, *, since: float | None = None, until: float | None = None
    ) -> Iterator[Session]:
        """Yield the answers shown in `[since, until)` with their clicks, few in memory at once."""
        ...

    def forget(self, *, before: float | None = None, query_id: str | None = None) -> int:
        """Delete answers with their clicks: all, those shown before a time, or one; count them."""
        ...

    def counts(self) -> ClickCounts:
        """Return how much there is."""
        ...

    def close(self) -> None:
        """Close the log; again, it does nothing."""
        ...
