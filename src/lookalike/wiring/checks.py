"""What `doctor` looks at: the installation, the models, and one index."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.bundle_files import load_bundle, packaged_names, verify
from lookalike.domain.errors import LookalikeError
from lookalike.domain.findings import Finding
from lookalike.domain.queries import Query, TextPart
from lookalike.engine.originals import thumbnail_key
from lookalike.settings import DEFAULT_BUNDLE
from lookalike.wiring.embedded import is_index, open_index
from lookalike.wiring.learning import check_learning, folder_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.engine.engine import Engine

LOW_SPACE_BYTES: Final = 1 << 30
SAMPLE: Final = 200

PATIENCE_MS: Final = 20_000.0
"""The search of a check loads the models first, on a machine that may be busy."""


def repair_folder(folder: Path) -> dict[str, object]:
    """Complete what is derived of an index folder from its catalog's log, and tell how far."""
    with open_index(folder) as engine:
        engine.optimize()
        status = engine.status()
    return {"images": status.images, "complete_to_seq": status.seq}


def run_checks(folder: Path) -> list[Finding]:
    """Look at everything and return what was found, the installation first."""
    findings = [*check_installation(folder), *check_bundles()]
    if not is_index(folder):
        hint = f"make one with: lookalike index PICTURES --index {folder}"
        return [*findings, Finding("index", "warning", f"there is none in {folder}", hint)]
    try:
        with open_index(folder) as engine:
            findings += _check_index(engine)
        findings.append(check_learning(folder_versions(folder)))
    except LookalikeError as error:
        findings.append(Finding("index", "error", error.message, error.hint))
    return findings


def check_installation(folder: Path) -> Iterator[Finding]:
    """Look at Python and the disk."""
    yield Finding("python", "ok", sys.version.split()[0])
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    state = "ok" if free >= LOW_SPACE_BYTES else "warning"
    remedy = "" if state == "ok" else "make room: an image takes about 25 kB of index"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free", remedy)


def check_bundles() -> Iterator[Finding]:
    """Hash the packaged models."""
    for name in packaged_names():
        try:
            reports = verify(load_bundle(name))
        except LookalikeError as error:
            yield Finding(f"model {name}", "error", error.message, error.hint)
            continue
        bad = [report.path for report in reports if report.state in {"missing", "corrupt"}]
        if bad:
            detail = f"damaged: {', '.join(bad)}"
            yield Finding(f"model {name}", "error", detail, "install Lookalike again")
        else:
            yield Finding(f"model {name}", "ok", f"{len(reports)} files as stated")
    if DEFAULT_BUNDLE not in packaged_names():
        remedy = "install Lookalike again"
        yield Finding("model", "error", f"the default bundle {DEFAULT_BUNDLE} is missing", remedy)


def _check_index(engine: Engine) -> Iterator[Finding]:
    status = engine.status()
    state = engine.stores.catalog.state()
    yield Finding("index", "ok", f"{status.images} images, {status.sources} sources")
    if status.is_up_to_date:
        yield Finding("words", "ok", f"complete to seq {state.seq}")
    else:
        yield Finding(
            "words",
            "warning",
            "behind the catalog",
            "a writer is at work, or run: lookalike optimize",
        )
    yield _check_vectors(engine)
    yield _check_thumbnails(engine)
    if status.failures:
        counts = ", ".join(f"{reason} {count}" for reason, count in status.failures.items())
        yield Finding("refused", "warning", counts, "see reports/ in the index folder")
    if engine.encoder is not None and engine.encoder.has_text and status.images:
        result = engine.search(
            Query(texts=(TextPart("a photograph"),), k=1, deadline_ms=PATIENCE_MS)
        )
        detail = f"{result.timings_ms['total']:.0f} ms, models loaded for it"
        is_fine = bool(result.hits) and not result.degraded
        yield Finding("search", "ok" if is_fine else "error", detail, "; ".join(result.degraded))


def _check_vectors(engine: Engine) -> Finding:
    """Fetch a sample of vectors: each live image has one of unit norm."""
    sample = _sample_rows(engine)
    if not len(sample):
        return Finding("vectors", "ok", "none yet")
    try:
        norms = np.linalg.norm(engine.stores.vectors.fetch(sample), axis=1)
    except LookalikeError as error:
        return Finding("vectors", "error", error.message, error.hint)
    odd = int(np.count_nonzero(np.abs(norms - 1.0) > 0.01))
    if odd:
        remedy = "index the pictures again with --force"
        return Finding("vectors", "error", f"{odd} of {len(sample)} sampled are damaged", remedy)
    return Finding("vectors", "ok", f"{len(sample)} sampled, all of unit norm")


def _check_thumbnails(engine: Engine) -> Finding:
    records = engine.stores.catalog.records(_sample_rows(engine).tolist())
    ids = [record.id for record in records if record is not None and record.facts.bytes]
    missing = sum(not engine.stores.blobs.has(thumbnail_key(image)) for image in ids)
    if missing:
        remedy = "index the pictures again with --force"
        return Finding(
            "thumbnails", "warning", f"{missing} of {len(ids)} sampled are missing", remedy
        )
    return Finding("thumbnails", "ok", f"{len(ids)} sampled, all there")


def _sample_rows(engine: Engine) -> np.ndarray:
    """Return live rows, the same ones each time."""
    rows = engine.stores.catalog.state().rows
    removed = np.asarray(engine.stores.catalog.removed_rows(), dtype=np.int64)
    live = np.setdiff1d(np.arange(rows, dtype=np.int64), removed)
    if len(live) <= SAMPLE:
        return live
    return np.sort(np.random.default_rng(0).choice(live, SAMPLE, replace=False))
