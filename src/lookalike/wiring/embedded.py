"""The embedded deployment: one folder, opened as an engine."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.bundle_files import load_bundle, load_encoder_bundle, packaged_names
from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.adapters.fetch_http import FetchPolicy, GuardedFetcher
from lookalike.adapters.filters_columns import ColumnsFilterIndex
from lookalike.adapters.hashes_kept import KeptHashes
from lookalike.adapters.lock_file import WriterLock
from lookalike.adapters.regions_faiss import FaissRegionIndex
from lookalike.adapters.text_lexicon import EnglishLexicon
from lookalike.adapters.text_schema import TextIndexSettings
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_matrix import HEADER_BYTES
from lookalike.domain.errors import (
    EncoderMismatchError,
    IndexCorruptError,
    IndexLockedError,
    IndexMissingError,
    StoreError,
    UsageError,
)
from lookalike.domain.objects import known_words
from lookalike.engine.engine import Engine
from lookalike.engine.learning_ranking import CurrentRanker
from lookalike.engine.parts import EngineParts
from lookalike.engine.stores import Stores
from lookalike.settings import DEFAULT_BUNDLE, Settings, load_settings
from lookalike.settings.features import Features
from lookalike.wiring.learning import folder_versions
from lookalike.wiring.lookers import make_detector, make_ocr
from lookalike.wiring.manifest import (
    FILE_NAME,
    Manifest,
    SpaceEntry,
    is_left_over,
    read_manifest,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.imaging.decode import DecodeLimits
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.source import Fetcher

CATALOG: Final = "catalog.sqlite"
FIRST_WAIT_S: Final = 5.0
"""A reader of an index that is only being made waits so long for its maker."""

WRITER_IDLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How an index is opened.

    `encoder` names the bundle of a new index, or must agree with the one there is; `dim` makes a
    new index for ready vectors without an encoder; `is_serving` decodes query pictures in
    processes of their own.
    """

    encoder: str | None = None
    dim: int | None = None
    is_creating: bool = False
    is_serving: bool = False
    features: Features | None = None


def open_index(
    folder: str | os.PathLike[str],
    options: OpenOptions | None = None,
    settings: Settings | None = None,
) -> Engine:
    """Open an index folder as an engine, making it first when the options say so.

    Raises:
        IndexMissingError: there is no index and none is to be made.
        IndexFormatError: a newer version wrote it.
        EncoderMismatchError: another encoder than asked for filled it.
        BundleError: its encoder cannot be loaded.
    """
    options = options or OpenOptions()
    settings = settings or load_settings()
    root = Path(folder).expanduser().absolute()
    if options.is_creating and not (root / FILE_NAME).exists():
        _create(root, options, settings)
    manifest = read_manifest(root)
    _check_features(root, manifest, options.features)
    encoder = _encoder(manifest, options, settings)
    return assemble(root, manifest, encoder, options=options, settings=settings)


def assemble(
    root: Path,
    manifest: Manifest,
    encoder: Encoder | None,
    *,
    options: OpenOptions,
    settings: Settings,
) -> Engine:
    """Put an engine together over the stores of a folder, with an encoder at hand."""
    opener = _Opener(root, manifest, settings)
    return Engine(
        EngineParts(
            location=str(root),
            index_id=manifest.id,
            reader=opener.open_reader(),
            detector=make_detector(manifest.features, threads=settings.threads),
            ocr=make_ocr(manifest.features, threads=settings.threads),
            is_keeping_place=manifest.features.place,
            hashes=KeptHashes(root / "hashes" / "phash.bin"),
            copies=manifest.features.copies,
            ranker=CurrentRanker(folder_versions(root)),
            answering=manifest.answering,
            open_writer=opener.open_writer,
            encoder=encoder,
            lexicon=EnglishLexicon(),
            fetcher=make_fetcher(settings),
            bytes_used=lambda: folder_bytes(root),
            reports=root / "reports",
            limits=decode_limits(settings),
            decode_workers=settings.decoders,
            is_isolating_queries=options.is_serving,
            writer_idle_s=WRITER_IDLE_S if options.is_serving else 0.0,
        )
    )


def make_fetcher(settings: Settings) -> Fetcher:
    """Return the guarded fetcher of URLs."""
    policy = FetchPolicy(
        allow=settings.allow_hosts, is_opt_out_honoured=settings.is_opt_out_honoured
    )
    return GuardedFetcher(policy)


def is_index(folder: Path) -> bool:
    """Tell whether a folder holds an index."""
    return (folder / FILE_NAME).is_file()


def folder_bytes(root: Path) -> int:
    """Return the sum of the sizes of the files below a folder."""
    total = 0
    for where, _, names in os.walk(root):
        for name in names:
            try:
                total += (Path(where) / name).lstat().st_size
            except FileNotFoundError:
                continue  # a segment that was just replaced
    return total


def _create(root: Path, options: OpenOptions, settings: Settings) -> None:
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file", hint="name a folder for the index")
    if root.is_dir() and any(not is_left_over(entry) for entry in root.iterdir()):
        raise UsageError(
            f"{root} is not empty and is no index", hint="name a new folder for the index"
        )
    wanted = options.encoder or settings.encoder
    if wanted is None and options.dim is not None:
        space = SpaceEntry("external", options.dim)
    else:
        bundle = load_encoder_bundle(wanted or DEFAULT_BUNDLE)
        name = bundle.name if bundle.name in packaged_names() else str(bundle.root)
        space = SpaceEntry(bundle.name, bundle.dim, name, bundle.fingerprint)
    if options.dim is not None and options.dim != space.dim:
        raise EncoderMismatchError(
            f"the vectors have {options.dim} numbers, the encoder {space.name} makes {space.dim}",
            hint="name the encoder that made them, or leave --encoder out",
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_manifest(root, Manifest(space, options.features or Features()))
    except OSError as error:
        raise StoreError(f"cannot make an index in {root}: {error.strerror}") from error


def _encoder(manifest: Manifest, options: OpenOptions, settings: Settings) -> Encoder | None:
    space = manifest.space
    if options.dim is not None and options.dim != space.dim:
        raise EncoderMismatchError(
            f"the vectors have {options.dim} numbers, this index holds {space.dim}",
            hint="index them into a folder of their own",
        )
    if options.encoder is not None:
        wanted = load_bundle(options.encoder)
        if wanted.fingerprint != space.fingerprint:
            raise EncoderMismatchError(
                f"this index was filled by {space.bundle or 'ready vectors'}, not by {wanted.name}",
                hint="one index holds the vectors of one encoder: index into a new folder",
            )
    if not space.bundle:
        return None
    bundle = load_bundle(space.bundle)
    if bundle.fingerprint != space.fingerprint:
        raise EncoderMismatchError(
            f"the bundle {space.bundle} is not the one that filled this index",
            hint="its vectors would not compare: index the pictures into a new folder",
        )
    return OnnxEncoder(bundle, threads=settings.threads)


def _check_features(root: Path, manifest: Manifest, asked: Features | None) -> None:
    """Refuse options that an index was not made with; what a run leaves out is its own choice."""
    if asked is None:
        return
    usual, has = Features(), manifest.features
    is_other = (
        asked.ocr not in {usual.ocr, "off", has.ocr}
        or asked.languages not in {usual.languages, has.languages}
        or (asked.place and not has.place)
        or asked.copies not in {usual.copies, has.copies}
    )
    if is_other:
        raise UsageError(
            "the index was made with other features",
            hint=f"change [features] in {root / FILE_NAME} for pictures that are added from now on",
        )


def decode_limits(settings: Settings) -> DecodeLimits | None:
    """Return the bounds on pictures that the settings change, or None for the usual ones."""
    if not settings.max_bytes and not settings.max_pixels:
        return None  # the usual ones, without loading what decodes
    from lookalike.imaging.decode import DecodeLimits

    usual = DecodeLimits()
    return replace(
        usual,
        max_bytes=settings.max_bytes or usual.max_bytes,
        max_pixels=settings.max_pixels or usual.max_pixels,
    )


def _require_catalog(root: Path) -> None:
    """Refuse to make a catalog where vectors are: it was lost, and they would be cut away."""
    path = root / CATALOG
    is_there = path.exists() and path.stat().st_size > 0
    if not is_there and folder_bytes(root / "spaces") > HEADER_BYTES:
        raise IndexCorruptError(
            f"{path} is missing, though there are vectors beside it",
            hint="restore it from a backup, or index the pictures into a new folder",
        )


class _Opener:
    """Opens sets of stores of one index folder."""

    def __init__(self, root: Path, manifest: Manifest, settings: Settings) -> None:
        self._root = root
        self._manifest = manifest
        self._settings = settings

    def open_reader(self) -> Stores:
        """Open the stores for reading; what is missing of them is made first."""
        try:
            return self.open(is_writer=False)
        except (IndexMissingError, IndexCorruptError):
            try:
                stores, release = self.open_writer(FIRST_WAIT_S)
            except IndexLockedError:
                return self.open(is_writer=False)  # made meanwhile by the one that holds it
            try:
                stores.texts.commit(stores.texts.seq)
            finally:
                stores.close()
                release()
            return self.open(is_writer=False)

    def open(self, *, is_writer: bool) -> Stores:
        """Open one set of stores."""
        root, space = self._root, self._manifest.space
        if is_writer:
            _require_catalog(root)
        with ExitStack() as opened:
            catalog = SqliteCatalog.open(root / CATALOG, is_writer=is_writer, clock=time.time)
            opened.callback(catalog.close)
            rows = catalog.state().rows
            vectors_settings = replace(self._manifest.vectors, threads=self._settings.threads)
            filters = ColumnsFilterIndex.open(root / "columns", rows=rows, is_writer=is_writer)
            opened.callback(filters.close)
            vectors = FaissVectorIndex.open(
                root / "spaces" / space.name,
                dim=space.dim,
                rows=rows,
                removed=np.asarray(catalog.removed_rows(), dtype=np.int64),
                is_writer=is_writer,
                settings=vectors_settings,
            )
            opened.callback(vectors.close)
            regions = FaissRegionIndex.open(
                root / "spaces" / space.name / "regions",
                dim=space.dim,
                length=catalog.state().regions,
                removed=np.asarray(catalog.removed_rows(), dtype=np.int64),
                is_writer=is_writer,
                settings=vectors_settings,
            )
            opened.callback(regions.close)
            texts = self._texts(is_writer=is_writer)
            blobs = ObstoreBlobStore((root / "blobs").as_uri())
            opened.pop_all()
        return Stores(catalog, filters, texts, vectors, regions, blobs, space.name)

    def open_writer(self, wait_s: float) -> tuple[Stores, Callable[[], None]]:
        """Take the lock and open the stores for writing; give back how to release it."""
        lock = WriterLock(self._root / "index.lock")
        lock.acquire(timeout_s=wait_s)
        try:
            return self.open(is_writer=True), lock.release
        except BaseException:
            lock.release()
            raise

    def _texts(self, *, is_writer: bool) -> TantivyTextIndex:
        folder = self._root / "text"
        settings = TextIndexSettings(known_words=known_words())
        try:
            return TantivyTextIndex.open(folder, is_writer=is_writer, settings=settings)
        except IndexCorruptError:
            if not is_writer:
                raise
            TantivyTextIndex.wipe(folder)  # derived: the log fills it again
            return TantivyTextIndex.open(folder, is_writer=True, settings=settings)
