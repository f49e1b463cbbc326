"""A small engine to serve in tests: pictures in a dict, an 8×8 colour grid as their vector."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from lookalike.domain import reasons
from lookalike.domain.errors import CursorError, FetchError, ImageError, NotFoundError
from lookalike.domain.filters import matches
from lookalike.domain.hits import Hit, SearchResult
from lookalike.domain.images import ImageFacts, ImageId, ImageRecord, Row, image_id
from lookalike.domain.queries import ImagePart, Query
from lookalike.engine.copies import CopyPair
from lookalike.engine.engine import AddOutcome
from lookalike.engine.reports import Status
from lookalike.ports.source import SourceItem


def picture(seed: int, *, width: int = 64, height: int = 48, format_: str = "PNG") -> bytes:
    """Return a picture file of eight by eight coloured fields."""
    fields = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(fields).resize((width, height), Image.Resampling.NEAREST).save(buffer, format_)
    return buffer.getvalue()


def grid(data: bytes, region: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """Return the unit vector of a picture, or raise `ImageError`."""
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ImageError(reasons.NOT_AN_IMAGE, "the bytes are not a picture") from error
    if region is not None:
        x, y, w, h = region
        size = image.size
        image = image.crop(
            (int(x * size[0]), int(y * size[1]), int((x + w) * size[0]), int((y + h) * size[1]))
        )
    small = np.asarray(image.resize((8, 8)), dtype=np.float32).reshape(-1) - 127.5
    return small / max(float(np.linalg.norm(small)), 1e-6)


@dataclass
class SmallEngine:
    """The engine's calls over a dict; keeps the queries it was asked."""

    records: dict[ImageId, ImageRecord] = field(default_factory=dict)
    vectors: dict[ImageId, np.ndarray] = field(default_factory=dict)
    files: dict[ImageId, bytes] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)
    degraded: tuple[str, ...] = ()
    hold: threading.Event | None = None

    def search(self, query: Query) -> SearchResult:
        if self.hold is not None:
            self.hold.wait(10)
        self.queries.append(query)
        wanted = [self._vector(part) * part.weight for part in query.images]
        words = {word.lower() for part in query.texts for word in part.text.split()}
        offset = self._offset(query)
        hits = []
        for image, record in self.records.items():
            if not matches(record, query.filter):
                continue
            parts: dict[str, float] = {}
            if wanted:
                parts["cosine"] = float(np.sum(wanted, axis=0) @ self.vectors[image])
            text = " ".join(f"{one.title} {one.caption} {one.alt_text}" for one in record.sources)
            found = sorted(words & set(text.lower().split()))
            if words:
                parts["bm25"] = float(len(found))
            if words and not found and not wanted:
                continue
            score = sum(parts.values()) or 1.0
            hits.append(Hit(record, score, min(1.0, max(0.0, score)), parts, tuple(found)))
        hits.sort(key=lambda hit: -hit.score)
        page = hits[offset : offset + query.k]
        has_more = len(hits) > offset + query.k
        return SearchResult(
            query=query.source,
            hits=page,
            total=len(hits),
            degraded=self.degraded,
            timings_ms={"encode": 1.0, "total": 2.0},
            next=str(offset + query.k) if has_more else None,
            explanation={"space": "grid"} if query.is_explained else {},
        )

    def record(self, reference: str) -> ImageRecord:
        found = [one for image, one in self.records.items() if image.startswith(reference)]
        if len(found) != 1:
            raise NotFoundError(f"no image {reference} in this index", hint="search for it first")
        return found[0]

    def thumbnail(self, image: ImageId) -> bytes:
        buffer = io.BytesIO()
        thumb = Image.open(io.BytesIO(self._file(image))).convert("RGB")
        thumb.thumbnail((384, 384))
        thumb.save(buffer, "WEBP")
        return buffer.getvalue()

    def original(self, image: ImageId) -> tuple[bytes, str]:
        return self._file(image), "image/whatever"

    def copies(self, reference: str | None = None, *, strictness: str) -> Sequence[CopyPair]:
        first = self.record(reference or "")
        cosines = {one: float(self.vectors[one] @ self.vectors[first.id]) for one in self.records}
        return [
            CopyPair(first, self.records[one], cosine, 2)
            for one, cosine in cosines.items()
            if cosine > 0.9 and one != first.id
        ]

    def suggest(self, prefix: str, *, limit: int = 8) -> Sequence[str]:
        words = {w for r in self.records.values() for s in r.sources for w in s.title.split()}
        return sorted(word for word in words if word.lower().startswith(prefix.lower()))[:limit]

    def status(self) -> Status:
        count = len(self.records)
        return Status("small", count, count, 0, 0, 0, {}, [], {}, 1, count, True)

    def add(self, items: Sequence[SourceItem]) -> Sequence[AddOutcome]:
        outcomes = []
        for item in items:
            image = image_id(item.data)
            try:
                vector = grid(item.data)
            except ImageError as error:
                outcomes.append(AddOutcome(None, False, error.reason, error.message))
                continue
            is_new = image not in self.records
            with Image.open(io.BytesIO(item.data)) as opened:
                size, format_ = opened.size, (opened.format or "").lower()
            facts = ImageFacts(image, *size, len(item.data), format_, color_tags=("blue",))
            self.records[image] = ImageRecord(Row(len(self.records)), facts, (item.source,))
            self.vectors[image], self.files[image] = vector, item.data
            outcomes.append(AddOutcome(image, is_new))
        return outcomes

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool = False) -> int:
        return sum(self.records.pop(one, None) is not None for one in ids)

    def close(self) -> None:
        pass

    def _vector(self, part: ImagePart) -> np.ndarray:
        if part.kind == "id" and part.region is None:
            return self.vectors[self.record(part.reference).id]
        data = self._file(self.record(part.reference).id) if part.kind == "id" else part.data
        return grid(data, part.region)

    def _file(self, image: ImageId) -> bytes:
        if image not in self.files or image not in self.records:
            raise NotFoundError(f"no image {image} in this index")
        return self.files[image]

    def _offset(self, query: Query) -> int:
        if query.cursor and not query.cursor.isdecimal():
            raise CursorError("the cursor cannot be read", hint="repeat the search without it")
        return int(query.cursor or 0)


@dataclass
class SmallFetcher:
    """A web of a few pages; every other address is refused."""

    pages: dict[str, bytes] = field(default_factory=dict)

    def fetch(self, url: str) -> bytes:
        if url not in self.pages:
            raise FetchError(reasons.BLOCKED_ADDRESS, f"{url[:80]} is refused", hint="try another")
        return self.pages[url]
