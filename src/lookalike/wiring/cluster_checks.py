"""What `doctor` looks at in a cluster, and how it mends what was cut short."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.copies import LEAST_QUALITY
from lookalike.domain.errors import LookalikeError
from lookalike.domain.filter_terms import terms_of
from lookalike.domain.filters import parse_date
from lookalike.domain.findings import Finding
from lookalike.domain.queries import Query, TextPart
from lookalike.engine.documents import document_of
from lookalike.engine.learning_models import FusionVersions
from lookalike.engine.originals import thumbnail_key
from lookalike.engine.repair import repair
from lookalike.engine.vector_blobs import vector_key
from lookalike.ports.text import TextDocument
from lookalike.settings import load_settings
from lookalike.settings.cluster import load_cluster
from lookalike.wiring.backends import BESIDE_VECTORS, Backends
from lookalike.wiring.checks import PATIENCE_MS, check_bundles, check_installation
from lookalike.wiring.cluster import assemble_cluster, read_cluster_manifest
from lookalike.wiring.embedded import OpenOptions
from lookalike.wiring.learning import check_learning

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from lookalike.engine.engine import Engine
    from lookalike.settings.cluster import ClusterConfig

SAMPLE: Final = 100
REBUILD_CHUNK: Final = 1000
MICROSECONDS: Final = 1_000_000


def check_cluster(path: str | os.PathLike[str]) -> list[Finding]:
    """Look at every back end, and at a sample of what they hold; the installation first."""
    backends = Backends(load_cluster(path))
    config = backends.config
    findings = [*check_installation(config.path.parent), *check_bundles()]
    with ExitStack() as opened:
        opened.callback(backends.close)
        try:
            dim = read_cluster_manifest(backends.blobs(), config).space.dim
        except LookalikeError as error:
            findings.append(Finding("index", "error", error.message, error.hint))
            dim = 0
        for port in (*config.backends, *BESIDE_VECTORS):
            findings += _check_backend(backends, port, dim)
        if any(finding.state == "error" for finding in findings):
            return findings
        try:
            with assemble_cluster(backends, OpenOptions(), load_settings()) as engine:
                findings += _check_index(engine, config)
            findings.append(check_learning(FusionVersions(backends.blobs())))
        except LookalikeError as error:
            findings.append(Finding("index", "error", error.message, error.hint))
    return findings


def repair_cluster(
    path: str | os.PathLike[str],
    *,
    since: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, object]:
    """Bring vectors, hashes and words to what the catalog says, of all or of those changed since.

    Raises:
        BackendError: a back end cannot be used.
        FilterError: `since` is not a date.
    """
    after = None if since is None else int(parse_date(since) * MICROSECONDS)
    backends = Backends(load_cluster(path))
    with ExitStack() as opened:
        opened.callback(backends.close)
        with assemble_cluster(backends, OpenOptions(), load_settings()) as engine:
            if after is None:
                backends.catalog().recount()  # logs what interrupted commits may have changed
            report = repair(engine.stores, after=after, on_progress=on_progress)
    return report.to_json()


def rebuild_words(
    path: str | os.PathLike[str], *, on_progress: Callable[[int], None] | None = None
) -> dict[str, object]:
    """Make the text index anew from the catalog beside the old one, and switch in one step.

    Searches and writes go on meanwhile. What an earlier rebuild left behind is dropped first.

    Raises:
        BackendError: a back end cannot be used; the old index then still answers.
    """
    backends = Backends(load_cluster(path))
    with ExitStack() as opened:
        opened.callback(backends.close)
        rebuild = backends.begin_rebuild()
        count, chunk = 0, list[TextDocument]()
        for record in backends.catalog().all_records():
            chunk.append(replace(document_of(record), terms=terms_of(record)))
            count += 1
            if len(chunk) >= REBUILD_CHUNK:
                rebuild.texts.add(chunk)
                chunk = []
                if on_progress is not None:
                    on_progress(count)
        rebuild.texts.add(chunk)
        rebuild.drop(rebuild.switch())
    return {"images": count}


def _check_backend(backends: Backends, port: str, dim: int) -> Iterator[Finding]:
    try:
        yield from backends.provisioner(port, dim).check()
    except LookalikeError as error:  # a missing extra, or a wrong setting
        yield Finding(port, "error", error.message, error.hint)


def _check_index(engine: Engine, config: ClusterConfig) -> Iterator[Finding]:
    status = engine.status()
    yield Finding("index", "ok", f"{status.images} images, {status.sources} sources")
    if status.waiting:
        remedy = f"start more workers: lookalike worker --config {config.path}"
        yield Finding("log", "warning", f"{status.waiting} messages wait for workers", remedy)
    yield from _check_sample(engine)
    if status.failures:
        counts = ", ".join(f"{reason} {count}" for reason, count in status.failures.items())
        yield Finding("refused", "warning", counts)
    if engine.encoder is not None and engine.encoder.has_text and status.images:
        result = engine.search(
            Query(texts=(TextPart("a photograph"),), k=1, deadline_ms=PATIENCE_MS)
        )
        detail = f"{result.timings_ms['total']:.0f} ms, models loaded for it"
        is_fine = bool(result.hits) and not result.degraded
        yield Finding("search", "ok" if is_fine else "error", detail, "; ".join(result.degraded))


def _check_sample(engine: Engine) -> Iterator[Finding]:
    """Look whether sampled images have their vector, their words, their hash and their blobs."""
    stores = engine.stores
    rows = np.asarray(stores.catalog.sample_rows(SAMPLE), dtype=np.int64)
    if not len(rows):
        yield Finding("sample", "ok", "no images yet")
        return
    records = [one for one in stores.catalog.records(rows.tolist()) if one is not None]
    telling = [one.row for one in records if one.facts.phash_quality >= LEAST_QUALITY]
    of_hashes = np.asarray(telling, dtype=np.int64)
    repair_it = "mend it with: lookalike doctor --repair"
    for name, is_there in (
        ("vectors", stores.vectors.has(rows)),
        ("words", stores.texts.has(rows)),
        *([("hashes", stores.hashes.has(of_hashes))] if stores.hashes is not None else []),
    ):
        lacking = int(np.count_nonzero(~is_there))
        detail = f"{lacking} of {len(is_there)} sampled images lack theirs"
        yield (
            Finding(name, "warning", detail, repair_it)
            if lacking
            else Finding(name, "ok", f"{len(is_there)} sampled images have theirs")
        )
    ids = [one.id for one in records]
    for name, keys in (
        ("vector blobs", [vector_key(stores.space, image) for image in ids]),
        ("thumbnails", [thumbnail_key(image) for image in ids]),
    ):
        missing = sum(not stores.blobs.has(key) for key in keys)
        detail = f"{missing} of {len(keys)} sampled are missing"
        yield (
            Finding(name, "warning", detail, "index the pictures again with --force")
            if missing
            else Finding(name, "ok", f"{len(keys)} sampled, all there")
        )
