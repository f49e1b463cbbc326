"""The click log and the fusion models of a folder or a cluster, opened without its engine."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lookalike.adapters.clicks_sqlite import FILE_NAME, SqliteClickLog
from lookalike.engine.learning_models import FusionVersions
from lookalike.wiring.learning import Learning, bounds_of, folder_versions
from lookalike.wiring.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@contextmanager
def open_learning(index: Path, config: Path | None) -> Generator[Learning]:
    """Open the click log and the models of an index folder, or of a cluster.

    Raises:
        IndexMissingError: there is no index in the folder.
        BackendError: a back end of the cluster cannot be used.
    """
    if config is not None:
        with _open_cluster(config) as learning:
            yield learning
        return
    manifest = read_manifest(index)
    log = SqliteClickLog(index / FILE_NAME, bounds_of(manifest.clicks), clock=time.time)
    try:
        yield Learning(log, folder_versions(index), manifest.clicks, manifest.id)
    finally:
        log.close()


@contextmanager
def _open_cluster(path: Path) -> Generator[Learning]:
    from lookalike.settings.cluster import load_cluster
    from lookalike.wiring.backends import Backends
    from lookalike.wiring.cluster import read_cluster_manifest

    config = load_cluster(path)
    backends = Backends(config)
    with ExitStack() as opened:
        opened.callback(backends.close)
        manifest = read_cluster_manifest(backends.blobs(), config)
        log = backends.clicks(bounds_of(config.clicks))
        yield Learning(log, FusionVersions(backends.blobs()), config.clicks, manifest.id)
