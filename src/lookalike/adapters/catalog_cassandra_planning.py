"""What a commit changes, worked out in memory over what was read: no I/O here.

A scene is what stands in the two tables that hold the truth, as far as a batch is concerned. A
plan takes the batch through it, in the order that one transaction would, and then knows how each
image and each uri is to look. Compare-and-sets carry that out; when another writer was there in
between, everything is read and planned again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lookalike.adapters.catalog_cassandra_mapping import (
    DAY_MICROS,
    NO_ID,
    fact_values,
    site_shard,
    sites_above,
    uri_key,
)
from lookalike.adapters.catalog_values import pack_key, read_anew, require_id
from lookalike.domain.errors import StoreError
from lookalike.domain.images import Source, hashed_row, merged_source
from lookalike.domain.reasons import BLOCKED, ROW_TAKEN
from lookalike.ports.catalog import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from lookalike.ports.catalog import Batch, NewImage, Reading

SiteEntry = tuple[str, int, int]
"""A site, a day and a shard: where an image is listed."""


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source of an image; numbers rise in the order sources were added, and tell the day."""

    number: int
    source: Source


@dataclass(slots=True)
class ImageState:
    """One partition of `images`.

    A row that is stated but not live is removed. `is_whole` tells whether all sources were read
    (of an image with very many, only those that the batch names are). `new` holds the facts of an
    image that the plan makes, or that it reads anew.
    """

    row: int
    id: bytes = NO_ID
    is_live: bool = False
    version: int = 0
    stamp: int | None = None
    first_seen: float = 0.0
    last_seen: float = 0.0
    sources: dict[bytes, StoredSource] = field(default_factory=dict[bytes, StoredSource])
    is_whole: bool = True
    is_stated: bool = False
    new: NewImage | None = None
    copy_group: int | None = None
    is_canonical: bool = False

    def copy(self) -> ImageState:
        """Return a copy with sources of its own."""
        return replace(self, sources=dict(self.sources))

    def site_entries(self, keys: Container[bytes] | None = None) -> set[SiteEntry]:
        """Return where the image is listed for its sources that were read, or for some of them."""
        return {
            (site, stored.number // DAY_MICROS, site_shard(site, self.row))
            for key, stored in self.sources.items()
            if keys is None or key in keys
            for site in sites_above(stored.source.site)
        }


@dataclass(slots=True)
class UriState:
    """One partition of `uris`: the row a uri leads to, or why it was refused, or nothing.

    `former` is an image that the uri has left and that still has to let go of it. `failure` is
    what the plan says of a refusal.
    """

    uri: str
    key: bytes
    version: int = 0
    stamp: int | None = None
    row: int | None = None
    reason: str | None = None
    fingerprint: str = ""
    number: int = 0
    is_vanished: bool = False
    former: int | None = None
    failure: Failure | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything is remembered of the uri."""
        return self.row is not None or self.reason is not None

    def clear(self) -> None:
        """Remember nothing of the uri."""
        self.row = self.reason = self.failure = None
        self.fingerprint, self.number, self.is_vanished = "", 0, False


@dataclass(slots=True)
class Scene:
    """What was read for a batch.

    `rows` is what the table of ids says, `known` what is said of images that are read anew,
    `blocked` the ids that may not come back; `seq` is the log's last, and `stated_rows` how many
    rows are stated, where the batch says how many there shall be.
    """

    images: dict[int, ImageState] = field(default_factory=dict[int, ImageState])
    uris: dict[bytes, UriState] = field(default_factory=dict[bytes, UriState])
    rows: dict[bytes, int] = field(default_factory=dict[bytes, int])
    blocked: set[bytes] = field(default_factory=set[bytes])
    known: dict[int, NewImage] = field(default_factory=dict[int, "NewImage"])
    seq: int = 0
    stated_rows: int = 0

    def unsettled(self) -> bool:
        """Tell whether an image still holds a uri that has left it."""
        return any(uri.former is not None for uri in self.uris.values())


class Plan:
    """How the images and uris of a scene are to look after a batch.

    `now` is the time of sightings that name none; `tick` gives rising numbers (microseconds).
    """

    def __init__(self, scene: Scene, *, now: float, tick: Callable[[], int]) -> None:
        self.scene = scene
        self.images = {row: image.copy() for row, image in scene.images.items()}
        self.uris = {key: replace(uri) for key, uri in scene.uris.items()}
        self.touched: dict[int, bool] = {}
        """Rows whose change belongs into the log, in order, and whether it is a removal."""
        self.left: set[int] = set()
        """Copy groups that images have left."""
        self._now = now
        self._tick = tick
        self._live = {image.id: row for row, image in self.images.items() if image.is_live}
        self._was_live = dict(self._live)
        self._fresh: set[int] = set()
        self._refused: dict[bytes, str] = {}
        for uri in self.uris.values():
            if uri.row is not None and not self.images[uri.row].is_live:
                uri.clear()
        for key in scene.blocked & set(self._live):
            self._remove(self.images[self._live[key]])  # it was put while it was being blocked

    def settle(self) -> None:
        """Let images go of the uris that have left them."""
        for uri in self.uris.values():
            image = None if uri.former is None else self.images[uri.former]
            if image is not None and image.is_live and image.row != uri.row:
                self._take(image, uri.key)

    def apply(self, batch: Batch) -> None:
        """Take a batch through: images, sources, failures, what vanished or is forgotten, readings.

        Raises:
            StoreError: a row is another image's.
        """
        for new in batch.images:
            self._put_image(new)
        for image, source in batch.sources:
            self._put_source(require_id(image), source)
        for failure in batch.failures:
            self._put_failure(failure)
        for uri in batch.vanished:
            self._vanish(self._uri(uri))
        for uri in batch.forgotten:
            self._forget(self._uri(uri))
        for reading in batch.readings:
            self._put_reading(reading)
        if batch.rows is not None:
            for row in range(self.scene.stated_rows, batch.rows):
                self._state_removed(row, NO_ID)

    def remove(self, ids: Sequence[bytes]) -> list[int]:
        """Remove images and return their rows; unknown ones are passed over."""
        for key in ids:
            if key in self._live:
                self._remove(self.images[self._live[key]])
        return [self._was_live[key] for key in dict.fromkeys(ids) if key in self._was_live]

    def row_of(self, image: bytes) -> int | None:
        """Return the row of a live image."""
        return self._live.get(image)

    def changed_images(self) -> Iterator[tuple[ImageState, ImageState]]:
        """Yield each image that differs from the scene, as it was and as it is to be."""
        for row, after in self.images.items():
            before = self.scene.images[row]
            if after != before:
                yield before, after

    def changed_uris(self) -> Iterator[tuple[UriState, UriState]]:
        """Yield each uri that differs from the scene, as it was and as it is to be."""
        for key, after in self.uris.items():
            before = self.scene.uris[key]
            if after != before:
                yield before, after

    def _uri(self, uri: str) -> UriState:
        return self.uris[uri_key(pack_key(uri))]

    def _put_image(self, new: NewImage) -> None:
        key, row = require_id(new.facts.id), int(new.row)
        if key in self.scene.blocked or key in self._live:
            self._state_removed(row, key)
            return
        image = self.images[row]
        if image.is_stated and image.id != key:
            if row != hashed_row(new.facts.id):
                raise StoreError(
                    f"row {row} is in use already", hint="another writer was here; open it again"
                )
            self._refused[key] = ROW_TAKEN
            return
        image.id, image.new, image.is_live, image.is_stated = key, new, True, True
        image.first_seen = self._now if new.first_seen is None else float(new.first_seen)
        image.last_seen = self._now if new.last_seen is None else float(new.last_seen)
        image.sources.clear()
        self._live[key] = row
        if new.first_seen is None:
            self._fresh.add(row)
        self._touch(image)

    def _state_removed(self, row: int, key: bytes) -> None:
        """State a row that was written but never became an image's."""
        image = self.images[row]
        if not image.is_stated:
            image.id, image.is_stated = key, True
            self._touch(image)

    def _put_reading(self, reading: Reading) -> None:
        """Replace what models and the file say of an image; an unknown one is passed over."""
        row = self._live.get(require_id(reading.image))
        if row is None:
            return
        image = self.images[row]
        known = image.new or self.scene.known[row]
        new = read_anew(known, reading)
        if fact_values(new) != fact_values(known):
            image.new = new
            self._touch(image)

    def _put_source(self, key: bytes, source: Source) -> None:
        uri, row = self._uri(source.uri), self._live.get(key)
        if uri.row is not None and uri.row != row:
            self._drop(uri)
        if row is None:
            reason = BLOCKED if key in self.scene.blocked else self._refused.get(key)
            if reason is not None:
                self._put_failure(Failure(source.uri, reason, fingerprint=source.fingerprint))
            return
        image = self.images[row]
        seen = replace(source, seen=float(source.seen) or self._now)
        if known := image.sources.get(uri.key):
            self._merge(image, uri.key, known, seen)
        else:
            image.sources[uri.key] = StoredSource(self._tick(), seen)
            self._touch(image)
        said = image.sources[uri.key].source
        uri.clear()
        uri.row, uri.fingerprint, uri.is_vanished = row, said.fingerprint, said.is_vanished
        self._widen(image, seen.seen)

    def _merge(self, image: ImageState, key: bytes, known: StoredSource, new: Source) -> None:
        old, merged = known.source, merged_source(known.source, new)
        if merged == old:
            return
        image.sources[key] = StoredSource(known.number, merged)
        if replace(merged, seen=old.seen, fingerprint=old.fingerprint) != old:
            self._touch(image)

    def _widen(self, image: ImageState, seen: float) -> None:
        """Take a sighting into the image's first and last ones."""
        if image.row in self._fresh:
            self._fresh.discard(image.row)
            image.first_seen = image.last_seen = seen
            return
        image.last_seen = max(image.last_seen, seen)
        if seen < image.first_seen:
            image.first_seen = seen
            self._touch(image)

    def _put_failure(self, failure: Failure) -> None:
        uri = self._uri(failure.uri)
        if uri.row is not None:
            self._drop(uri)
        uri.clear()
        uri.reason, uri.fingerprint = failure.reason, failure.fingerprint
        uri.number = self._tick()
        uri.failure = replace(failure, seen=float(failure.seen) or self._now)

    def _vanish(self, uri: UriState) -> None:
        if uri.reason is not None:
            uri.clear()
        if uri.row is None or uri.is_vanished:
            return
        image, uri.is_vanished = self.images[uri.row], True
        if stored := image.sources.get(uri.key):
            gone = replace(stored.source, is_vanished=True)
            image.sources[uri.key] = StoredSource(stored.number, gone)
            self._touch(image)

    def _forget(self, uri: UriState) -> None:
        if uri.row is not None:
            self._drop(uri)
        uri.clear()

    def _drop(self, uri: UriState) -> None:
        """Take a source from its image, which goes with its last one."""
        assert uri.row is not None
        image = self.images[uri.row]
        uri.clear()
        self._take(image, uri.key)

    def _take(self, image: ImageState, key: bytes) -> None:
        if image.sources.pop(key, None) is None:
            return
        if image.sources or not image.is_whole:
            self._touch(image)
        else:
            self._remove(image)

    def _remove(self, image: ImageState) -> None:
        for key in image.sources:
            uri = self.uris.get(key)
            if uri is not None and uri.row == image.row:
                uri.clear()
        image.sources.clear()
        image.is_live, image.new = False, None
        if image.copy_group is not None:
            self.left.add(image.copy_group)
            image.copy_group, image.is_canonical = None, False
        del self._live[image.id]
        self._touch(image)

    def _touch(self, image: ImageState) -> None:
        self.touched[image.row] = not image.is_live
