"""Opening an index the way every command does: a folder, or a cluster by its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.domain.errors import UsageError
from lookalike.settings import load_settings

if TYPE_CHECKING:
    from lookalike.engine.engine import Engine
    from lookalike.settings import Settings
    from lookalike.wiring.embedded import OpenOptions


def config_file(index: Path | None, config: Path | None) -> Path | None:
    """Return the configuration of the cluster that is meant, or None where a folder is.

    Raises:
        UsageError: both are named.
    """
    if index is not None and config is not None:
        raise UsageError("--index and --config are both given", hint="name one of them")
    if index is not None:
        return None
    return config if config is not None else load_settings().config


def index_folder(given: Path | None) -> Path:
    """Return the folder of `--index`, of the environment, or the default."""
    return given if given is not None else load_settings().index


def open_engine(
    index: Path | None,
    config: Path | None = None,
    options: OpenOptions | None = None,
    settings: Settings | None = None,
) -> Engine:
    """Open the index that a command was asked for."""
    cluster = config_file(index, config)
    if cluster is not None:
        from lookalike.wiring.cluster import open_cluster

        return open_cluster(cluster, options, settings)
    from lookalike.wiring.embedded import open_index

    return open_index(index_folder(index), options, settings)
