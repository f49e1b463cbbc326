"""What an engine is made of, and what a run of indexing gets of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lookalike.domain.queries import Answering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike.engine.decode_pool import DecodePool
    from lookalike.engine.hash_follower import HashFile
    from lookalike.engine.ingest import IngestOptions, IngestTools
    from lookalike.engine.looking import Looker
    from lookalike.engine.stores import Stores
    from lookalike.engine.writer import IndexWriter
    from lookalike.imaging.decode import DecodeLimits
    from lookalike.imaging.examine import ExaminePlan
    from lookalike.ports.detector import Detector
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.ports.lexicon import Lexicon
    from lookalike.ports.ocr import Ocr
    from lookalike.ports.ranker import Ranker
    from lookalike.ports.source import Fetcher


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine is made of.

    `open_writer` waits at most so many seconds for the index's lock, and opens it for writing;
    where `writer` is given instead, there is no lock and every call shares it. `log` takes
    pictures for workers. `detector` and `ocr` are None where nothing looks for objects or words;
    `is_keeping_place` keeps where pictures were taken. `copies` is how strictly new images are
    placed among their copies (`off` for not at all), `hashes` where their hashes are kept.
    `lexicon` has the words that are never taken for misspelt.
    `answering` says how it answers where a query does not.
    `limits` of None are the usual ones: a search by words loads nothing that decodes pictures.
    """

    location: str
    index_id: str
    reader: Stores
    open_writer: Callable[[float], tuple[Stores, Callable[[], None]]] | None
    encoder: Encoder | None
    fetcher: Fetcher | None
    bytes_used: Callable[[], int]
    reports: Path | None = None
    limits: DecodeLimits | None = None
    decode_workers: int = 2
    search_threads: int = 8
    is_isolating_queries: bool = False
    writer_idle_s: float = 0.0
    ranker: Ranker | None = None
    writer: IndexWriter | None = None
    log: IngestLog | None = None
    detector: Detector | None = None
    ocr: Ocr | None = None
    is_keeping_place: bool = False
    hashes: HashFile | None = None
    copies: str = "off"
    lexicon: Lexicon | None = None
    answering: Answering = field(default_factory=Answering)
    clock: Callable[[], float] = time.time


def ingest_tools(
    parts: EngineParts, writer: IndexWriter, pool: DecodePool, options: IngestOptions
) -> IngestTools:
    """Return what a run works with; its options may leave models out."""
    from lookalike.engine.ingest import IngestTools
    from lookalike.engine.looking import Looker

    detector = None if options.is_without_objects else parts.detector
    ocr = None if options.is_without_words else parts.ocr
    looker = Looker(parts.encoder, detector, ocr)
    plan = examine_plan(parts, options)
    return IngestTools(writer, looker, pool, plan, parts.fetcher, parts.clock)


def query_looker(parts: EngineParts) -> tuple[ExaminePlan, Looker]:
    """Return how a picture of a query is decoded and looked at for objects and words."""
    from lookalike.engine.ingest import IngestOptions
    from lookalike.engine.looking import Looker

    return examine_plan(parts, IngestOptions()), Looker(None, parts.detector, parts.ocr)


def examine_plan(parts: EngineParts, options: IngestOptions) -> ExaminePlan:
    """Return what is made of every picture, for the models that look at it."""
    from lookalike.engine.looking import CANVAS_SIDE
    from lookalike.imaging.decode import DecodeLimits
    from lookalike.imaging.examine import ExaminePlan

    detector = None if options.is_without_objects else parts.detector
    ocr = None if options.is_without_words else parts.ocr
    return ExaminePlan(
        preprocess=parts.encoder.preprocess if parts.encoder is not None else None,
        limits=parts.limits or DecodeLimits(),
        is_keeping_place=parts.is_keeping_place,
        canvas_side=max(detector.side, CANVAS_SIDE) if detector is not None else None,
        page_side=ocr.side if ocr is not None else None,
    )
