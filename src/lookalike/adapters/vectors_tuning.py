"""How a segment is searched, and what that costs, as measured when it was sealed."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a segment is searched for one kind of query, and the `ann_recall@10` measured so.

    `recall` is None where there was nothing to measure with. For `spread` and `effort` see
    `Probing`.
    """

    probes: int
    rerank: int
    recall: float | None = None
    spread: float = 0.5
    effort: int = 0


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of one thread, measured when the segment was tuned.

    They are those of a probed cell, of a row re-ranked, and of a row let through by a filter
    in an exact scan.
    """

    probe_us: float
    rerank_us: float
    row_us: float


def no_narrower(image: Tuning, text: Tuning) -> Tuning:
    """Return the tuning for pictures with as many cells and rows as texts need, or its own if more.

    Where so much alike is stored that it fills many cells, a picture whose own cell counts as
    empty still has its like next to it, and says nothing of pictures from elsewhere. These lie
    nearer than any text.
    """
    if text.recall is None:
        return image
    probes, rerank = max(image.probes, text.probes), max(image.rerank, text.rerank)
    effort = max(probes, image.effort) if image.effort else 0
    return replace(image, probes=probes, rerank=rerank, effort=effort)
