"""From the parts of a query to the one vector that is searched for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from lookalike.domain import reasons
from lookalike.domain.errors import (
    ImageError,
    NotFoundError,
    UnsupportedInputError,
    UsageError,
)
from lookalike.domain.images import ImageId
from lookalike.engine.batcher import MicroBatcher, VectorCache
from lookalike.engine.frames import DecodeJob
from lookalike.engine.looking import View
from lookalike.ranking.composing import Parts, compose
from lookalike.telemetry.stages import StageTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.arrays import FloatMatrix, Pixels
    from lookalike.domain.images import ImageFacts
    from lookalike.domain.queries import ImagePart, Query
    from lookalike.engine.frames import DecodeAnswer
    from lookalike.engine.looking import Looker, Seen
    from lookalike.engine.stores import Stores
    from lookalike.imaging.examine import Examined, ExaminePlan
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.source import Fetcher


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A unit query vector `(dim,)` and whether pictures or words alone made it."""

    vector: FloatMatrix
    kind: Literal["image", "text"]


class QueryEncoder:
    """Encodes words and pictures of queries through micro-batchers, and mixes them.

    `decode` runs one decode job, in a process of its own where hostile pictures may come.
    """

    def __init__(
        self,
        encoder: Encoder | None,
        *,
        decode: Callable[[DecodeJob], DecodeAnswer],
        fetcher: Fetcher | None,
        original: Callable[[ImageId], bytes],
        max_bytes: Callable[[], int],
    ) -> None:
        """Keep the tools; towers load with the first query that needs them."""
        self._encoder = encoder
        self._decode = decode
        self._fetcher = fetcher
        self._original = original
        self._max_bytes = max_bytes
        self._cache = VectorCache()
        self._texts: MicroBatcher[str] = MicroBatcher(self._encode_texts)
        self._images: MicroBatcher[Pixels] = MicroBatcher(self._encode_pixels)

    @property
    def has_text(self) -> bool:
        """Tell whether words can be encoded."""
        return self._encoder is not None and self._encoder.has_text

    def preload(self) -> None:
        """Load the text tower; what is wrong with it is told by the search that needs it."""
        if self.has_text:
            self._texts.submit("warm").exception()

    def load_images(self, query: Query) -> list[Pixels | None]:
        """Decode the query's pictures; None for one whose vector is in the index already."""
        return [self._pixels(part) for part in query.images]

    def mix(self, query: Query, pixels: list[Pixels | None], stores: Stores) -> QueryVector | None:
        """Return the one vector that the query's parts and what was judged of hits come to.

        None when nothing can be encoded (no parts, or only words and no text tower) or the parts
        cancel out.
        """
        promises = [self._images.submit(one) if one is not None else None for one in pixels]
        pictures: list[tuple[FloatMatrix, float]] = []
        words: list[tuple[FloatMatrix, float]] = []
        if self.has_text:
            words = [(self._text(part.text), part.weight) for part in query.texts]
        for promise, part in zip(promises, query.images, strict=True):
            vector = promise.result() if promise else self._stored(part.reference, stores)
            pictures.append((vector, part.weight))
        more, less = (
            [self._stored(image, stores) for image in judged] for judged in (query.more, query.less)
        )
        vector = compose(Parts(words, pictures, more, less))
        if vector is None:
            return None
        has_pictures = bool(more) or any(part.weight > 0 for part in query.images)
        return QueryVector(vector, "image" if has_pictures else "text")

    def examined(
        self, part: ImagePart, plan: ExaminePlan
    ) -> tuple[ImageFacts, FloatMatrix | None, bytes]:
        """Return the facts, the vector and a thumbnail of a picture that is not stored."""
        examined = self._examine(part, plan)
        pixels = examined.pixels
        vector = self._images.submit(pixels).result() if pixels is not None else None
        return examined.facts, vector, examined.thumbnail

    def seen(self, part: ImagePart, plan: ExaminePlan, looker: Looker) -> Seen:
        """Return what models see in a picture that is not stored; its region is left aside."""
        examined = self._examine(replace(part, region=None), plan)
        view = View(canvas=examined.canvas, page=examined.page, is_gated=plan.page_side is not None)
        return looker.look([view], StageTimer())[0]

    def _examine(self, part: ImagePart, plan: ExaminePlan) -> Examined:
        answer = self._decode(replace(self._job(part), plan=plan))
        if answer.error is not None:
            raise _named(answer.error, part)
        if answer.examined is None:
            raise ValueError("a decode answer holds neither picture nor error")
        return answer.examined

    def close(self) -> None:
        """End the batchers."""
        self._texts.close()
        self._images.close()

    def _text(self, text: str) -> FloatMatrix:
        vector = self._cache.get(text)
        if vector is None:
            vector = self._texts.submit(text).result()
            self._cache.put(text, vector)
        return vector

    def _stored(self, reference: str, stores: Stores) -> FloatMatrix:
        image = ImageId(reference)
        row = stores.catalog.rows_of([image]).get(image)
        if row is None or row >= stores.visible_rows:
            raise NotFoundError(f"no image {reference} in this index")
        return stores.vectors.fetch(np.asarray([row], dtype=np.int64))[0]

    def _pixels(self, part: ImagePart) -> Pixels | None:
        if part.kind == "id" and part.region is None:
            return None
        if self._encoder is None:
            raise UnsupportedInputError(
                "this index has no encoder for pictures",
                hint="search by the id of an image in the index, or name the encoder's bundle",
            )
        answer = self._decode(self._job(part))
        if answer.error is not None:
            raise _named(answer.error, part)
        if answer.pixels is None:
            raise ValueError("a decode answer holds neither pixels nor error")
        return answer.pixels

    def _job(self, part: ImagePart) -> DecodeJob:
        preprocess = self._encoder.preprocess if self._encoder is not None else None
        if part.kind == "path":
            return DecodeJob(
                path=os.fsencode(os.path.expanduser(part.reference)),
                preprocess=preprocess,
                region=part.region,
                max_bytes=self._max_bytes(),
            )
        data = part.data
        if part.kind == "id":
            data = self._original(ImageId(part.reference))
        elif part.kind == "url":
            if self._fetcher is None:
                raise UsageError("fetching of URLs is turned off")
            data = self._fetcher.fetch(part.reference)
        return DecodeJob(data=data, preprocess=preprocess, region=part.region)

    def _encode_texts(self, texts: Sequence[str]) -> FloatMatrix:
        if self._encoder is None:
            raise UnsupportedInputError("this index has no encoder for words")
        return self._encoder.encode_texts(texts)

    def _encode_pixels(self, pixels: Sequence[Pixels]) -> FloatMatrix:
        if self._encoder is None:
            raise UnsupportedInputError("this index has no encoder for pictures")
        return self._encoder.encode_images(np.stack(pixels))


def _named(error: ImageError, part: ImagePart) -> ImageError:
    """Return the error with the file's name in it."""
    if part.kind != "path":
        return error
    what = "there is no such file" if error.reason == reasons.VANISHED else error.message
    return ImageError(error.reason, f"{part.reference}: {what}", hint=error.hint)
