"""The cluster deployment: back ends named by `lookalike.toml`, opened as the same engine."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lookalike.adapters.bundle_files import load_bundle, load_encoder_bundle, packaged_names
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.adapters.text_lexicon import EnglishLexicon
from lookalike.domain.errors import BackendMissingError, EncoderMismatchError, UsageError
from lookalike.engine.cluster_writer import ClusterWriter
from lookalike.engine.copies import make_placer
from lookalike.engine.engine import Engine
from lookalike.engine.hash_follower import current_hashes
from lookalike.engine.learning_models import FusionVersions
from lookalike.engine.learning_ranking import CurrentRanker
from lookalike.engine.parts import EngineParts
from lookalike.engine.stores import Stores
from lookalike.engine.working import Worker
from lookalike.settings import DEFAULT_BUNDLE, Settings, load_settings
from lookalike.settings.cluster import load_cluster
from lookalike.wiring.backends import BESIDE_VECTORS, Backends
from lookalike.wiring.embedded import OpenOptions, decode_limits, make_fetcher
from lookalike.wiring.lookers import make_detector, make_ocr
from lookalike.wiring.manifest import (
    FILE_NAME,
    Manifest,
    SpaceEntry,
    parse_manifest,
    render_manifest,
)

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Callable, Generator

    from lookalike.domain.bundle import Bundle
    from lookalike.engine.working import WorkReport
    from lookalike.ports.blobs import BlobStore
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.settings.cluster import ClusterConfig

DRAIN_S: Final = 5.0
"""A draining worker ends when no message has come for so long."""


def open_cluster(
    path: str | os.PathLike[str],
    options: OpenOptions | None = None,
    settings: Settings | None = None,
    *,
    encoder: Encoder | None = None,
) -> Engine:
    """Open the cluster that a `lookalike.toml` names; nothing is made there.

    `encoder` takes the place of the one that the index's manifest names.

    Raises:
        UsageError: the file is wrong.
        BackendError: a back end cannot be used; `init-cluster` or `doctor` say more.
        EncoderMismatchError: another encoder than asked for filled the index.
    """
    settings = settings or load_settings()
    backends = Backends(load_cluster(path))
    with ExitStack() as opened:
        opened.callback(backends.close)
        engine = assemble_cluster(backends, options or OpenOptions(), settings, encoder=encoder)
        opened.pop_all()
    return engine


def assemble_cluster(
    backends: Backends, options: OpenOptions, settings: Settings, *, encoder: Encoder | None = None
) -> Engine:
    """Put an engine together over the back ends; closing it closes them."""
    config = backends.config
    manifest = read_cluster_manifest(backends.blobs(), config)
    encoder = encoder or _encoder(manifest, config, options, settings)
    texts, filters = backends.texts()
    stores = Stores(
        catalog=backends.catalog(),
        filters=filters,
        texts=texts,
        vectors=backends.vectors(manifest.space.dim),
        regions=backends.regions(manifest.space.dim),
        blobs=backends.blobs(),
        space=manifest.space.name,
        is_dense=False,
        hashes=backends.hashes(),
    )
    placer = make_placer(stores, current_hashes(stores, None), config.features.copies)
    models = {"vector": encoder.bundle.fingerprint} if encoder is not None else {}
    return Engine(
        EngineParts(
            location=str(config.path),
            index_id=manifest.id,
            reader=stores,
            open_writer=None,
            writer=ClusterWriter(stores, models=models, placer=placer),
            log=backends.log() if "log" in config.backends else None,
            encoder=encoder,
            detector=make_detector(config.features, threads=settings.threads),
            ocr=make_ocr(config.features, threads=settings.threads),
            is_keeping_place=config.features.place,
            copies=config.features.copies,
            lexicon=EnglishLexicon(),
            ranker=CurrentRanker(FusionVersions(backends.blobs())),
            answering=config.answering,
            fetcher=make_fetcher(settings),
            bytes_used=lambda: stores.vectors.stats().bytes,
            limits=decode_limits(settings),
            decode_workers=settings.decoders,
            is_isolating_queries=options.is_serving,
            clock=time.time,
        )
    )


def init_cluster(path: str | os.PathLike[str]) -> list[str]:
    """Make everything a cluster needs and return what was made; again, it makes nothing.

    Raises:
        UsageError: the file is wrong.
        BackendError: a back end cannot be reached, refuses, or holds something foreign.
        EncoderMismatchError: the index there was made for another encoder.
    """
    backends = Backends(load_cluster(path))
    config = backends.config
    with ExitStack() as opened:
        opened.callback(backends.close)
        bundle = load_encoder_bundle(config.encoder or DEFAULT_BUNDLE)
        return make_cluster(backends, _space_of(bundle))


def make_cluster(backends: Backends, space: SpaceEntry) -> list[str]:
    """Make everything for an index with one space; return what was made."""
    made: list[str] = list(backends.provisioner("blobs", space.dim).prepare())
    blobs = backends.blobs()
    if blobs.put_new(FILE_NAME, render_manifest(Manifest(space)).encode("utf-8")):
        made.append(f"{FILE_NAME} in the blob store")
    found = read_cluster_manifest(blobs, backends.config).space
    if (found.dim, found.fingerprint) != (space.dim, space.fingerprint):
        raise EncoderMismatchError(
            f"the index there was made for {found.bundle or 'ready vectors'} ({found.dim} numbers)",
            hint="name that encoder in lookalike.toml, or other places for a new index",
        )
    for port in (*backends.config.backends, *BESIDE_VECTORS):
        if port != "blobs":
            made += backends.provisioner(port, space.dim).prepare()
    return made


def read_cluster_manifest(blobs: BlobStore, config: ClusterConfig) -> Manifest:
    """Return what the index of a cluster is, or say that it was not made yet."""
    text = blobs.get(FILE_NAME)
    where = config.backends["blobs"].url
    if text is None:
        raise BackendMissingError(
            where,
            "there is no index yet",
            hint=f"make it with: lookalike init-cluster --config {config.path}",
        )
    return parse_manifest(text.decode("utf-8", "replace"), f"{where}/{FILE_NAME}")


@dataclass(frozen=True, slots=True)
class OpenWorker:
    """A worker that is ready to run."""

    location: str
    engine: Engine
    log: IngestLog
    most: int | None
    drain_s: float | None

    def run(
        self, stop: threading.Event, on_progress: Callable[[WorkReport], None] | None = None
    ) -> WorkReport:
        """Work until `stop` is set, or there is nothing more to do where that was asked."""
        worker = Worker(
            self.engine, self.log, on_progress=on_progress, most=self.most, drain_s=self.drain_s
        )
        return worker.run(stop)


@contextmanager
def open_worker(
    path: str | os.PathLike[str],
    *,
    most: int | None = None,
    is_draining: bool = False,
    settings: Settings | None = None,
) -> Generator[OpenWorker]:
    """Open a cluster for working through its log.

    Raises:
        UsageError: the file is wrong, or names no log.
        BackendError: a back end cannot be used.
    """
    settings = settings or load_settings()
    backends = Backends(load_cluster(path))
    if "log" not in backends.config.backends:
        raise UsageError(
            f"{backends.config.path} names no [log]", hint='write: [log] url = "kafka://…"'
        )
    options = OpenOptions(is_serving=True)
    with ExitStack() as opened:
        opened.callback(backends.close)
        engine = assemble_cluster(backends, options, settings)
        opened.pop_all()
    with engine:
        drain_s = DRAIN_S if is_draining else None
        yield OpenWorker(str(backends.config.path), engine, backends.log(), most, drain_s)


def _space_of(bundle: Bundle) -> SpaceEntry:
    name = bundle.name if bundle.name in packaged_names() else str(bundle.root)
    return SpaceEntry(bundle.name, bundle.dim, name, bundle.fingerprint)


def _encoder(
    manifest: Manifest, config: ClusterConfig, options: OpenOptions, settings: Settings
) -> Encoder | None:
    """Load the encoder that filled the index; the configuration may say where its bundle is."""
    wanted = options.encoder or config.encoder or manifest.space.bundle
    if not wanted:
        return None
    bundle = load_bundle(wanted)
    if bundle.fingerprint != manifest.space.fingerprint:
        raise EncoderMismatchError(
            f"the index was filled by {manifest.space.bundle or 'ready vectors'}, "
            f"not by {bundle.name}",
            hint="one index holds the vectors of one encoder: make another cluster for a new one",
        )
    if options.dim is not None and options.dim != manifest.space.dim:
        raise EncoderMismatchError(
            f"the vectors have {options.dim} numbers, this index holds {manifest.space.dim}",
            hint="index them into an index of their own",
        )
    return OnnxEncoder(bundle, threads=settings.threads)
