"""A built engine, and the ways to search with it that are measured."""

from __future__ import annotations

from dataclasses import dataclass

from ann_data import Search


@dataclass(frozen=True)
class Point:
    """One way to search with an engine; `label` says how; `kind` when it is for one kind.

    `sizes` are what was turned: a point with all of them at least as large costs more.
    """

    label: str
    search: Search
    kind: str | None = None
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A built engine: `bytes` of a vector that must be in memory, and what building took."""

    name: str
    bytes: float
    build_cpu_s: float
    points: tuple[Point, ...]
