"""Reads what a commit or a removal is about, in two or three waves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_mapping import id_prefix, known_of, source_of, uri_key
from lookalike.adapters.catalog_cassandra_planning import (
    ImageState,
    Scene,
    StoredSource,
    UriState,
)
from lookalike.adapters.catalog_values import pack_key, require_id, unpack_id, unpack_key
from lookalike.domain.errors import BackendTimeoutError, StoreError
from lookalike.domain.images import hashed_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.adapters.catalog_cassandra_client import CassandraClient, Line
    from lookalike.ports.catalog import Batch

PAGE_SOURCES: Final = 256
"""So many sources of an image are read at once; of one with more, those that are asked for."""

MOST_HOLES: Final = 100_000
ATTEMPTS: Final = 8

_STATES: Final = len(cql.STATE_COLUMNS)


@dataclass(slots=True)
class _Wanted:
    """What a batch is about.

    `movers` pairs a uri with the id it is said to lead to, if any; `read` are images read anew.
    """

    ids: list[bytes] = field(default_factory=list[bytes])
    rows: dict[bytes, list[int]] = field(default_factory=dict[bytes, list[int]])
    uris: dict[bytes, str] = field(default_factory=dict[bytes, str])
    movers: list[tuple[bytes, bytes | None]] = field(
        default_factory=list[tuple[bytes, "bytes | None"]]
    )
    read: list[bytes] = field(default_factory=list[bytes])

    @classmethod
    def of(cls, batch: Batch) -> _Wanted:
        wanted = cls()
        for new in batch.images:
            wanted.rows.setdefault(require_id(new.facts.id), []).append(int(new.row))
        for image, source in batch.sources:
            wanted.movers.append((wanted._uri(source.uri), require_id(image)))
        for failure in batch.failures:
            wanted.movers.append((wanted._uri(failure.uri), None))
        for uri in batch.forgotten:
            wanted.movers.append((wanted._uri(uri), None))
        for uri in batch.vanished:
            wanted._uri(uri)
        wanted.read = [require_id(reading.image) for reading in batch.readings]
        ids = [*wanted.rows, *(image for _, image in wanted.movers if image is not None)]
        ids += wanted.read
        wanted.ids = list(dict.fromkeys(ids))
        return wanted

    def _uri(self, uri: str) -> bytes:
        key = uri_key(pack_key(uri))
        self.uris[key] = uri
        return key


class SceneReader:
    """Reads scenes; plain reads, for compare-and-sets find out what was stale."""

    def __init__(self, client: CassandraClient) -> None:
        self._client = client

    def for_batch(self, batch: Batch) -> Scene:
        """Read what a batch is about.

        Raises:
            StoreError: it states fewer rows than are in use, or very many without an image.
            BackendTimeoutError: other writers change the same images all the time.
        """
        wanted = _Wanted.of(batch)
        for _ in range(ATTEMPTS):
            scene = self._scene_of(batch, wanted)
            if self._read_facts(scene, wanted):
                return scene
        raise BackendTimeoutError(
            self._client.options.name, "other writers change the same images", hint="try again"
        )

    def _scene_of(self, batch: Batch, wanted: _Wanted) -> Scene:
        scene = Scene()
        given = dict.fromkeys(row for rows in wanted.rows.values() for row in rows)
        self._read_keys(scene, wanted, given)
        rows = dict.fromkeys(scene.rows.values())
        rows |= dict.fromkeys(_guesses(scene, wanted))
        rows |= dict.fromkeys(self._holes(scene, batch))
        rows |= dict.fromkeys(_led_to(scene.uris.values()))
        self._read_images(scene, [row for row in rows if row not in scene.images])
        self._complete(scene, wanted)
        return scene

    def for_removal(self, ids: Sequence[bytes]) -> Scene:
        """Read images that are to be removed, with all of their sources and uris."""
        wanted, scene = _Wanted(ids=list(ids)), Scene()
        self._read_keys(scene, wanted, ())
        rows = dict.fromkeys([*scene.rows.values(), *_guesses(scene, wanted)])
        self._read_images(scene, list(rows))
        self._complete(scene, wanted, leaving=rows)
        return scene

    def _read_keys(self, scene: Scene, wanted: _Wanted, given: Iterable[int]) -> None:
        """Read the ids, the uris, the given rows and the seq in one wave."""
        ids = [Call(cql.READ_ID, (id_prefix(key), key)) for key in wanted.ids]
        uris = [Call(cql.READ_URI, (key,)) for key in wanted.uris]
        images = [_page(row) for row in given]
        seq = Call(cql.READ_ABOUT, (cql.SEQ_NAME,))
        found = self._client.wave([seq, *ids, *uris, *images])
        scene.seq = found[0][0][1] if found[0] else 0
        for key, row, is_blocked in (line for lines in found[1 : 1 + len(ids)] for line in lines):
            if row is not None:
                scene.rows[key] = row
            if is_blocked:
                scene.blocked.add(key)
        pages = found[1 + len(ids) : 1 + len(ids) + len(uris)]
        for (key, uri), lines in zip(wanted.uris.items(), pages, strict=True):
            scene.uris[key] = _uri_state(uri, key, lines)
        pages = found[1 + len(ids) + len(uris) :]
        for row, lines in zip(given, pages, strict=True):
            scene.images[row] = _image_state(row, lines)

    def _read_images(self, scene: Scene, rows: Sequence[int]) -> None:
        found = self._client.wave([_page(row) for row in rows])
        for row, lines in zip(rows, found, strict=True):
            scene.images[row] = _image_state(row, lines)

    def _read_facts(self, scene: Scene, wanted: _Wanted) -> bool:
        """Read the facts of live images that are read anew; False when one has changed since."""
        of_id = {image.id: image for image in scene.images.values() if image.is_live}
        images = [of_id[key] for key in dict.fromkeys(wanted.read) if key in of_id]
        found = self._client.wave([Call(cql.READ_FACTS, (image.row,)) for image in images])
        for image, lines in zip(images, found, strict=True):
            row, stamp, *values = lines[0]
            if stamp != image.stamp:
                return False
            scene.known[row] = known_of(row, values)
        return True

    def _complete(self, scene: Scene, wanted: _Wanted, leaving: Iterable[int] = ()) -> None:
        """Read what the first pages left out, and the uris of images that go for good."""
        going = set(leaving)
        going |= {row for row, image in scene.images.items() if image.id in scene.blocked}
        losing = going | {uri.former for uri in scene.uris.values() if uri.former is not None}
        for key, image in wanted.movers:
            row = scene.uris[key].row
            if row is not None and (image is None or scene.images[row].id != image):
                losing.add(row)
        partial = [row for row, image in scene.images.items() if not image.is_whole]
        large = [row for row in partial if row in losing]
        found = self._client.wave([Call(cql.READ_SOURCES, (row,)) for row in large])
        for row, lines in zip(large, found, strict=True):
            scene.images[row] = _image_state(row, lines, is_whole=True)
        pairs = [(row, key) for row in partial if row not in losing for key in wanted.uris]
        found = self._client.wave([Call(cql.READ_SOURCE, pair) for pair in pairs])
        for (row, _), lines in zip(pairs, found, strict=True):
            for line in lines:
                scene.images[row].sources[line[0]] = _stored(line)
        self._read_uris_of(scene, going)

    def _read_uris_of(self, scene: Scene, rows: Iterable[int]) -> None:
        uris = {
            key: stored.source.uri
            for row in rows
            for key, stored in scene.images[row].sources.items()
            if key not in scene.uris
        }
        found = self._client.wave([Call(cql.READ_URI, (key,)) for key in uris])
        for (key, uri), lines in zip(uris.items(), found, strict=True):
            scene.uris[key] = _uri_state(uri, key, lines)
        self._read_images(
            scene, [row for row in _led_to(scene.uris.values()) if row not in scene.images]
        )

    def _holes(self, scene: Scene, batch: Batch) -> range:
        """Return the rows that the batch states beyond those there are."""
        if batch.rows is None:
            return range(0)
        tallies = {line[0]: line[1] for line in self._client.run(cql.READ_TALLIES, "all")}
        scene.stated_rows = tallies.get(b"images", 0) + tallies.get(b"removed", 0)
        used = max([scene.stated_rows, *(int(image.row) + 1 for image in batch.images)])
        if batch.rows < used:
            raise StoreError(
                f"a commit states {batch.rows} rows, but {used} are in use",
                hint="another writer was here; open the index again",
            )
        if batch.rows - scene.stated_rows > len(batch.images) + MOST_HOLES:
            raise StoreError(
                f"a commit states {batch.rows} rows, most of them without an image",
                hint="leave out how many rows there are where rows are hashed",
            )
        return range(scene.stated_rows, batch.rows)


def _page(row: int) -> Call:
    return Call(cql.READ_SOURCES_PAGE, (row, PAGE_SOURCES + 1))


def _guesses(scene: Scene, wanted: _Wanted) -> Iterable[int]:
    """Yield where images may stand that the table of ids does not know (yet)."""
    return (
        hashed_row(unpack_id(key))
        for key in wanted.ids
        if key not in scene.rows and key not in wanted.rows
    )


def _led_to(uris: Iterable[UriState]) -> Iterable[int]:
    rows = dict.fromkeys(row for uri in uris for row in (uri.row, uri.former) if row is not None)
    return list(rows)


def _uri_state(uri: str, key: bytes, lines: Sequence[Line]) -> UriState:
    if not lines:
        return UriState(uri, key)
    _, version, stamp, row, reason, fingerprint, number, is_vanished, former = lines[0]
    return UriState(
        uri,
        key,
        version=version or 0,
        stamp=stamp,
        row=row,
        reason=None if reason is None else unpack_key(reason),
        fingerprint=unpack_key(fingerprint or b""),
        number=number or 0,
        is_vanished=bool(is_vanished),
        former=former,
    )


def _image_state(row: int, lines: Sequence[Line], *, is_whole: bool = False) -> ImageState:
    if not lines or lines[0][3] is None:
        return ImageState(row)
    id_, is_live, version, stamp, first_seen, last_seen, group, is_head = lines[0][:_STATES]
    sources = {
        line[_STATES]: _stored(line[_STATES:]) for line in lines if line[_STATES] is not None
    }
    return ImageState(
        row,
        id_,
        is_live=bool(is_live),
        version=version,
        stamp=stamp,
        first_seen=first_seen,
        last_seen=last_seen,
        sources=sources,
        is_whole=is_whole or len(lines) <= PAGE_SOURCES,
        is_stated=True,
        copy_group=group,
        is_canonical=bool(is_head),
    )


def _stored(line: Sequence[Any]) -> StoredSource:
    """Return a source from its key and the values of `SOURCE_COLUMNS`."""
    return StoredSource(line[1], source_of(line[2:]))
