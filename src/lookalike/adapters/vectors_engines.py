"""Sealing rows with the engine that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.adapters.vectors_build import build_codes, tune
from lookalike.adapters.vectors_codes_index import CodeIndex
from lookalike.adapters.vectors_graph import GraphIndex, build_graph, tune_graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lookalike.adapters.vectors_matrix import SegmentRows
    from lookalike.adapters.vectors_segments import SegmentIndex
    from lookalike.adapters.vectors_settings import VectorSettings
    from lookalike.adapters.vectors_tuning import Costs, Tuning
    from lookalike.domain.arrays import FloatMatrix


def build_segment(
    part: SegmentRows, settings: VectorSettings, path: Path, parents: Sequence[SegmentIndex]
) -> SegmentIndex:
    """Write a segment's file and open it; what `parents` of the same engine have is taken over.

    Raises `DiskFullError` when there is no room.
    """
    if settings.engine == "graph":
        graphs = [parent for parent in parents if isinstance(parent, GraphIndex)]
        return build_graph(part, settings, path, graphs)
    codes = [parent for parent in parents if isinstance(parent, CodeIndex)]
    return build_codes(part, settings, path, codes)


def tune_segment(
    index: SegmentIndex, part: SegmentRows, text_queries: FloatMatrix, settings: VectorSettings
) -> tuple[Mapping[str, Tuning], Costs]:
    """Find the cheapest way to search a segment that reaches the target recalls."""
    if isinstance(index, GraphIndex):
        return tune_graph(index, part, text_queries, settings)
    return tune(index, part, text_queries, settings)
