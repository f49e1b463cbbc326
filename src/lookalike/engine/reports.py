"""What the engine tells of its work: progress, ingest reports and status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from lookalike.domain.images import ImageId
from lookalike.ports.encoder import Encoder
from lookalike.ports.vectors import VectorStats


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far a run is; `total` is None where the source cannot tell."""

    done: int
    total: int | None
    added: int
    known: int
    failed: int
    images_per_s: float
    seconds: float
    stage_seconds: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def seconds_left(self) -> float | None:
        """Time left at the rate so far, or None where it cannot be told."""
        if self.total is None or not self.done or self.done > self.total:
            return None
        return (self.total - self.done) * self.seconds / self.done


OnProgress: TypeAlias = Callable[[IngestProgress], None]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did.

    `known` counts items that needed no work; `merged` counts new sources of images already here.
    `failed` maps a reason to its count; `refusals` is the file that lists each of them. `ids`
    (added) and `refused` (uri to reason and detail) hold the first thousand. `unread` maps why text
    could not be read off pictures, which are there all the same, to how many they were.
    """

    added: int
    known: int
    merged: int
    vanished: int
    failed: Mapping[str, int]
    seconds: float
    images_per_s: float
    stage_seconds: Mapping[str, float]
    is_interrupted: bool = False
    refusals: Path | None = None
    ids: Sequence[ImageId] = ()
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    unread: Mapping[str, int] = field(default_factory=dict[str, int])

    def to_json(self) -> dict[str, Any]:
        """Return the last line that `index --json` prints."""
        return {
            "added": self.added,
            "known": self.known,
            "merged": self.merged,
            "vanished": self.vanished,
            "failed": dict(self.failed),
            "unread": dict(self.unread),
            "images_per_s": round(self.images_per_s, 2),
            "seconds": round(self.seconds, 3),
            "stage_seconds": {name: round(value, 3) for name, value in self.stage_seconds.items()},
            "interrupted": self.is_interrupted,
            "refusals": str(self.refusals) if self.refusals else None,
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an index, as `status` shows it; `waiting` counts messages of the log."""

    location: str
    images: int
    sources: int
    regions: int
    copy_groups: int
    removed: int
    failures: Mapping[str, int]
    spaces: Sequence[Mapping[str, Any]]
    ann_recall_at_10: Mapping[str, float]
    bytes: int
    seq: int
    is_up_to_date: bool
    waiting: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the object that `status --json` and `/v1/status` give."""
        return {
            "location": self.location,
            "images": self.images,
            "sources": self.sources,
            "regions": self.regions,
            "copy_groups": self.copy_groups,
            "removed": self.removed,
            "failures": dict(self.failures),
            "spaces": [dict(space) for space in self.spaces],
            "ann_recall_at_10": dict(self.ann_recall_at_10),
            "bytes": self.bytes,
            "seq": self.seq,
            "up_to_date": self.is_up_to_date,
            "waiting": self.waiting,
        }


def space_json(name: str, vectors: VectorStats, encoder: Encoder | None) -> dict[str, Any]:
    """Return what `status` shows of a space."""
    bundle = encoder.bundle if encoder else None
    return {
        "name": name,
        "dim": vectors.dim,
        "kind": vectors.kind,
        "rows": vectors.rows,
        "sealed_rows": vectors.sealed_rows,
        "bytes": vectors.bytes,
        "encoder": bundle.name if bundle else None,
        "encoder_fingerprint": bundle.fingerprint if bundle else None,
        "is_active": True,
    }
