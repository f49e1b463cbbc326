"""The engine: one open index, searched and filled. Every interface stands on it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import NotFoundError, StoreError, UsageError
from lookalike.domain.images import ImageId, is_image_id
from lookalike.engine.adding import add_pictures
from lookalike.engine.calibrating import calibrate
from lookalike.engine.copies import Copies, CopyTools, make_placer
from lookalike.engine.decode_pool import DecodePool
from lookalike.engine.following import Follower
from lookalike.engine.hash_follower import current_hashes
from lookalike.engine.ingest import IngestOptions, IngestRun
from lookalike.engine.lease import WriterLease
from lookalike.engine.originals import read_original, thumbnail_key
from lookalike.engine.parts import EngineParts, examine_plan, ingest_tools, query_looker
from lookalike.engine.publishing import publish_pictures, publish_sources
from lookalike.engine.query_vectors import QueryEncoder
from lookalike.engine.reports import Status, space_json
from lookalike.engine.search import Searcher
from lookalike.engine.stores import Stores
from lookalike.engine.wording import Wording
from lookalike.engine.writer import Writer
from lookalike.ranking.rrf import ReciprocalRankFusion

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.hits import SearchResult
    from lookalike.domain.images import ImageFacts, ImageRecord
    from lookalike.domain.queries import ImagePart, Query
    from lookalike.engine.adding import AddOutcome
    from lookalike.engine.frames import DecodeAnswer, DecodeJob
    from lookalike.engine.ingest import IngestTools
    from lookalike.engine.looking import Seen
    from lookalike.engine.reports import IngestReport, OnProgress
    from lookalike.engine.writer import IndexWriter
    from lookalike.imaging.decode import DecodeLimits
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.ports.ranker import Ranker
    from lookalike.ports.source import PictureSource, SourceItem

LEAST_PREFIX: Final = 4

WRITER_WAIT_S: Final = 5.0
"""A call that writes waits so long for another process's lock."""


class Engine:
    """One open index. Safe to use from many threads; closes what it opened."""

    def __init__(self, parts: EngineParts) -> None:
        """Take over the parts and bring the reader up to the catalog."""
        self._parts = parts
        self._stores = parts.reader
        self._pool: DecodePool | None = None
        self._is_closed = False
        self._pool_lock = threading.Lock()
        self._hashes = current_hashes(parts.reader, parts.hashes)
        self._lease = WriterLease(self._open_writer, idle_s=parts.writer_idle_s)
        self._follower = Follower(parts.reader)
        self._encoder = QueryEncoder(
            parts.encoder, decode=self._decode, fetcher=parts.fetcher,
            original=lambda image: self.original(image)[0],
            max_bytes=lambda: self._limits().max_bytes,
        )  # fmt: skip
        self._searcher = Searcher(
            self._stores, self._encoder, parts.ranker or ReciprocalRankFusion(),
            index_id=parts.index_id, threads=parts.search_threads, answering=parts.answering,
        )  # fmt: skip
        self._wording = Wording(self._stores, parts.encoder, parts.lexicon)
        self._copies = Copies(
            CopyTools(
                stores=parts.reader, hashes=self._hashes, strictness=parts.copies,
                resolve=self.resolve, writing=self.writing, examined=self._examined,
                clock=parts.clock,
            )
        )  # fmt: skip
        self._follower.catch_up()
        self._mend()

    def __enter__(self) -> Engine:
        """Return the engine itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __len__(self) -> int:
        """Return how many images can be found."""
        return self._stores.catalog.state().images

    @property
    def location(self) -> str:
        """Where the index is."""
        return self._parts.location

    @property
    def index_id(self) -> str:
        """What tells this index from every other."""
        return self._parts.index_id

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of the active space, or None where vectors came ready."""
        return self._parts.encoder

    @property
    def log(self) -> IngestLog | None:
        """The ingest log that workers read, where there is one."""
        return self._parts.log

    @property
    def stores(self) -> Stores:
        """The stores that are read; nothing is written to them."""
        return self._stores

    @property
    def copies(self) -> Copies:
        """Copies of this index: found, listed, regrouped and decided on."""
        self._follower.catch_up()
        return self._copies

    def catch_up(self) -> None:
        """Bring the stores that are read up to everything acknowledged so far."""
        self._follower.catch_up()

    def search(self, query: Query) -> SearchResult:
        """Answer a query over everything acknowledged so far."""
        self._follower.catch_up()
        images = tuple(
            replace(part, reference=self.resolve(part.reference)) if part.kind == "id" else part
            for part in query.images
        )
        more, less = (tuple(map(self.resolve, judged)) for judged in (query.more, query.less))
        query = replace(query, images=images, more=more, less=less)
        return self._wording.search(query, self._searcher.search)

    def look(self, part: ImagePart) -> Seen:
        """Return the objects and words in a picture of a query, as far as the index has models."""
        return self._encoder.seen(part, *query_looker(self._parts))

    def preload(self) -> None:
        """Load side by side what one search by words needs, so that it waits for less."""
        self._searcher.preload()

    def use_ranker(self, ranker: Ranker) -> None:
        """Rank with another model from the next search on."""
        self._searcher.use_ranker(ranker)

    def resolve(self, reference: str) -> ImageId:
        """Return the id that a full id or a unique beginning of one (4 digits or more) names."""
        wanted = reference.strip().lower()
        if is_image_id(wanted):
            return ImageId(wanted)
        if len(wanted) < LEAST_PREFIX or set(wanted) - set("0123456789abcdef"):
            raise NotFoundError(
                f"{reference!r} is not the id of an image",
                hint=f"an id has 32 hex digits; its first {LEAST_PREFIX} or more will do",
            )
        found = self._stores.catalog.ids_with_prefix(wanted, limit=5)
        if len(found) != 1:
            hint = "more digits are needed: " + ", ".join(found) if found else ""
            raise NotFoundError(f"{len(found) or 'no'} images begin with {reference}", hint=hint)
        return found[0]

    def record(self, reference: str) -> ImageRecord:
        """Return everything known of an image."""
        self._follower.catch_up()
        image = self.resolve(reference)
        row = self._stores.catalog.rows_of([image]).get(image)
        record = self._stores.catalog.records([row])[0] if row is not None else None
        if record is None:
            raise NotFoundError(f"no image {image} in this index")
        return record

    def has(self, image: ImageId) -> bool:
        """Tell whether an image is in the index."""
        return bool(self._stores.catalog.rows_of([image]))

    def thumbnail(self, image: ImageId) -> bytes:
        """Return an image's thumbnail file."""
        data = self._stores.blobs.get(thumbnail_key(image))
        if data is None or not self._stores.catalog.rows_of([image]):
            raise NotFoundError(f"no thumbnail of {image} in this index")
        return data

    def thumbnail_url(self, image: ImageId, *, expires_s: float) -> str | None:
        """Return a signed address of an image's thumbnail, where the blob store gives any."""
        if not self.has(image):
            raise NotFoundError(f"no image {image} in this index")
        return self._stores.blobs.signed_url(thumbnail_key(image), expires_s=expires_s)

    def original(self, image: ImageId) -> tuple[bytes, str]:
        """Return the bytes of the image's own file and their media type, if it is at hand."""
        return read_original(self._stores, self.record(image), self._limits().max_bytes)

    def suggest(self, prefix: str, *, limit: int = 8) -> Sequence[str]:
        """Return words of the index that begin with `prefix`, the most frequent first."""
        self._follower.catch_up()
        return self._stores.texts.suggest(prefix, limit=limit)

    def index(
        self,
        sources: Sequence[PictureSource],
        options: IngestOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Bring the pictures of some sources in; only what is new or changed is worked on."""
        options = options or IngestOptions()
        if options.reports is None and self._parts.reports is not None:
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._parts.clock()))
            options = replace(options, reports=self._parts.reports / f"refused-{stamp}.jsonl")
        with self.writing() as writer:
            report = IngestRun(self._tools(writer, options), options, on_progress).run(sources)
            calibrate(writer.stores, self._parts.encoder)
            return report

    def add(
        self, items: Sequence[SourceItem], *, is_keeping: bool = True, is_forced: bool = False
    ) -> Sequence[AddOutcome]:
        """Add single pictures; they are durable and searchable when this returns.

        `is_keeping` stores pictures that came as bytes; `is_forced` looks at known ones again.
        """
        with self.writing() as writer:
            options = IngestOptions(is_keeping=is_keeping, is_forced=is_forced)
            return add_pictures(self._tools(writer, options), items, options)

    def submit(self, items: Sequence[SourceItem]) -> Sequence[AddOutcome]:
        """Hand pictures to the ingest log where there is one, else add them at once.

        Durable when this returns; a worker makes those of a log searchable.
        """
        if self._parts.log is None:
            return self.add(items)
        return publish_pictures(self._stores, self._parts.log, items)

    def enqueue(
        self,
        sources: Sequence[PictureSource],
        options: IngestOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Hand the pictures of some sources to the ingest log, for workers to index."""
        if self._parts.log is None:
            raise UsageError(f"{self.location} has no ingest log", hint="name a [log] in its file")
        chosen = options or IngestOptions()
        return publish_sources(self._stores, self._parts.log, sources, chosen, on_progress)

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool = False) -> int:
        """Remove images; blocked ones may not come back. Returns how many there were."""
        with self.writing() as writer:
            return writer.remove(ids, is_blocked=is_blocked)

    def remove_site(self, site: str, *, is_blocked: bool = False) -> int:
        """Remove every image seen on a site or on a sub-domain of it."""
        with self.writing() as writer:
            return writer.remove(writer.stores.catalog.ids_of_site(site), is_blocked=is_blocked)

    def optimize(self) -> None:
        """Seal, merge and tune everything in the foreground."""
        with self.writing() as writer:
            writer.optimize()
            calibrate(writer.stores, self._parts.encoder)
        self._stores.vectors.refresh(self._stores.visible_rows)

    @contextmanager
    def writing(self) -> Generator[IndexWriter]:
        """Hold the index's lock for the length of a `with` block, where it has one."""
        if self._is_closed:
            raise StoreError(f"{self.location} is closed", hint="open the index again")
        if self._parts.writer is not None:
            yield self._parts.writer
            return
        with self._lease.hold() as writer:
            yield writer

    def warm(self) -> None:
        """Load what the first searches would load: the vectors' segments and the text tower."""
        self._stores.vectors.warm()
        if self._parts.is_isolating_queries:
            self._decoders().warm()
        if self._parts.encoder is not None and self._parts.encoder.has_text:
            self._parts.encoder.encode_texts(["warm"])

    def status(self) -> Status:
        """Return the state of the index."""
        self._follower.catch_up()
        state = self._stores.catalog.state()
        vectors = self._stores.vectors.stats()
        waiting = self._parts.log.lag() if self._parts.log else 0
        return Status(
            location=self._parts.location,
            images=state.images,
            sources=state.sources,
            regions=len(self._stores.regions),
            copy_groups=self._stores.copies.counts()[0],
            removed=state.removed,
            failures=self._stores.catalog.failure_counts(),
            spaces=[space_json(self._stores.space, vectors, self._parts.encoder)],
            ann_recall_at_10=vectors.ann_recall_at_10,
            bytes=self._parts.bytes_used(),
            seq=state.seq,
            is_up_to_date=not waiting and self._has_every_word(),
            waiting=waiting,
        )

    def close(self) -> None:
        """Close the index; nothing that was acknowledged depends on it. Again, it does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._searcher.close()
        self._encoder.close()
        self._lease.close()
        if self._parts.log is not None:
            self._parts.log.close()
        with self._pool_lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
        self._stores.close()

    def _has_every_word(self) -> bool:
        """Tell whether the text index has followed the log to its end; a cluster's follows none."""
        stores = self._stores
        return not stores.is_dense or stores.texts.seq >= stores.catalog.state().seq

    def _mend(self) -> None:
        """Complete the text index that a stopped writer left behind, unless one is at work."""
        if self._has_every_word():
            return
        try:
            self._open_writer(wait_s=0.0).close()
        except StoreError:
            return  # a writer is at work, or nothing can be written here; reading goes on
        self._stores.texts.refresh()

    def _limits(self) -> DecodeLimits:
        from lookalike.imaging.decode import DecodeLimits

        return self._parts.limits or DecodeLimits()

    def _tools(self, writer: IndexWriter, options: IngestOptions) -> IngestTools:
        return ingest_tools(self._parts, writer, self._decoders(), options)

    def _open_writer(self, wait_s: float = WRITER_WAIT_S) -> Writer:
        if self._parts.open_writer is None:
            raise StoreError(f"{self.location} is open for reading only")
        stores, release = self._parts.open_writer(wait_s)
        encoder = self._parts.encoder
        models = {"vector": encoder.bundle.fingerprint} if encoder is not None else {}
        try:
            placer = make_placer(stores, self._hashes, self._parts.copies)
            return Writer(
                stores, models=models, clock=self._parts.clock,
                on_close=lambda: self._end_writing(release), placer=placer,
            )  # fmt: skip
        except BaseException:
            stores.close()
            release()
            raise

    def _end_writing(self, release: Callable[[], None]) -> None:
        """Keep the hashes while the lock is held, and give it back."""
        try:
            if self._hashes is not None:
                self._hashes.save()
        finally:
            release()

    def _examined(self, part: ImagePart) -> tuple[ImageFacts, FloatMatrix | None, bytes]:
        """Return the facts, the vector and a thumbnail of a picture of a query."""
        nothing = IngestOptions(is_without_objects=True, is_without_words=True)
        return self._encoder.examined(part, examine_plan(self._parts, nothing))

    def _decoders(self) -> DecodePool:
        with self._pool_lock:
            if self._pool is None:
                self._pool = DecodePool(self._parts.decode_workers)
            return self._pool

    def _decode(self, job: DecodeJob) -> DecodeAnswer:
        if not self._parts.is_isolating_queries:
            from lookalike.engine.decode_worker import answer

            return answer(job)
        return self._decoders().submit(job).result()
