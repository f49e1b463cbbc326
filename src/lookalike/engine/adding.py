"""Adding single pictures, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.domain import reasons
from lookalike.engine.ingest import IngestOptions, IngestRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.domain.images import ImageId
    from lookalike.engine.ingest import IngestTools
    from lookalike.ports.source import SourceItem


@dataclass(frozen=True, slots=True)
class AddOutcome:
    """What became of one added picture: its id, or the reason why it was refused.

    `is_waiting` tells that a worker will look at it: it may still be refused.
    """

    id: ImageId | None
    is_new: bool
    reason: str = ""
    detail: str = ""
    is_waiting: bool = False


def add_pictures(
    tools: IngestTools, items: Sequence[SourceItem], options: IngestOptions
) -> Sequence[AddOutcome]:
    """Index the items at hand; they are durable and searchable when this returns."""
    report = IngestRun(tools, options).run([GivenItems(items)])
    added, refused = set(report.ids), report.refused
    states = tools.writer.stores.catalog.source_states([item.source.uri for item in items])
    outcomes: list[AddOutcome] = []
    for item in items:
        state = states.get(item.source.uri)
        if item.source.uri in refused or state is None or state.image is None:
            usual = (state.reason if state else reasons.UNREADABLE, "")
            reason, detail = refused.get(item.source.uri, usual)
            outcomes.append(AddOutcome(None, False, reason, detail))
            continue
        outcomes.append(AddOutcome(state.image, is_new=state.image in added))
        added.discard(state.image)
    return outcomes


class GivenItems:
    """A source of the items at hand."""

    def __init__(self, items: Sequence[SourceItem]) -> None:
        """Keep the items."""
        self._items = items

    @property
    def name(self) -> str:
        """A fixed name."""
        return "given"

    @property
    def prefix(self) -> str | None:
        """No uri is covered whole."""
        return None

    def count(self) -> int | None:
        """How many items there are."""
        return len(self._items)

    def items(self) -> Iterator[SourceItem]:
        """Yield them."""
        yield from self._items
