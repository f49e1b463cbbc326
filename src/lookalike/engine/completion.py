"""Completing a line from what an index holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.domain.completing import MOST_COMPLETED, complete_line
from lookalike.domain.objects import coco_labels, super_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.completing import Completion
    from lookalike.engine.engine import Engine
    from lookalike.engine.past_queries import PastQueries


def complete(
    engine: Engine, line: str, *, limit: int = 8, past: PastQueries | None = None
) -> Sequence[Completion]:
    """Return whole lines that go on as a line of the query language begins.

    `past` are the queries of others, where the index lets them be seen.
    """
    return complete_line(
        line,
        words=lambda prefix, most: engine.suggest(prefix, limit=most),
        labels=(*coco_labels(), *super_classes()),
        past=past.beginning(line) if past is not None else (),
        limit=min(limit, MOST_COMPLETED),
    )
