"""Settings: the one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lookalike.domain.errors import UsageError
from lookalike.settings.cluster import CLUSTER_VARIABLES

DEFAULT_INDEX: Final = "lookalike.index"
DEFAULT_BUNDLE: Final = "lite"

VARIABLES: Final[Mapping[str, str]] = {
    "LOOKALIKE_INDEX": "the index folder, where no --index is given",
    "LOOKALIKE_ENCODER": "bundle of a new index: a packaged name or a folder",
    "LOOKALIKE_THREADS": "threads of the encoder and the vector search (default: the cores)",
    "LOOKALIKE_DECODERS": "decoder processes (default: the cores)",
    "LOOKALIKE_API_KEYS": "keys the server accepts, separated by commas",
    "LOOKALIKE_ALLOW_HOSTS": "private hosts or networks that URLs may lead to, separated by commas",
    "LOOKALIKE_OPT_OUT": "honour (the default) or ignore what pages and servers ask of robots",
    "LOOKALIKE_MAX_PIXELS": "largest width x height that is decoded",
    "LOOKALIKE_MAX_BYTES": "largest picture file that is read",
    **CLUSTER_VARIABLES,
}
"""Every variable that is read; the documentation is checked against it."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Settings:
    """What shapes a process; an index's own settings stand in its `index.toml`."""

    index: Path = Path(DEFAULT_INDEX)
    config: Path | None = None
    encoder: str | None = None
    threads: int = field(default_factory=available_cores)
    decoders: int = field(default_factory=available_cores)
    api_keys: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    is_opt_out_honoured: bool = True
    max_pixels: int | None = None
    max_bytes: int | None = None


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that the environment (or the mapping given) states.

    Raises:
        UsageError: a variable does not hold what it should.
    """
    values = os.environ if environment is None else environment
    cores = available_cores()
    config = values.get("LOOKALIKE_CONFIG")
    return Settings(
        index=Path(values.get("LOOKALIKE_INDEX") or DEFAULT_INDEX).expanduser(),
        config=Path(config).expanduser() if config else None,
        encoder=values.get("LOOKALIKE_ENCODER") or None,
        threads=_whole(values, "LOOKALIKE_THREADS") or cores,
        decoders=_whole(values, "LOOKALIKE_DECODERS") or cores,
        api_keys=_list(values, "LOOKALIKE_API_KEYS"),
        allow_hosts=_list(values, "LOOKALIKE_ALLOW_HOSTS"),
        is_opt_out_honoured=_choice(values, "LOOKALIKE_OPT_OUT", ("honour", "ignore")) == "honour",
        max_pixels=_whole(values, "LOOKALIKE_MAX_PIXELS"),
        max_bytes=_whole(values, "LOOKALIKE_MAX_BYTES"),
    )


def _whole(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name} must be a whole number above 0, not {text!r}")
    return int(text)


def _choice(values: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """Return one of the known words; the first where nothing is set."""
    text = values.get(name, "").strip().lower() or known[0]
    if text not in known:
        raise UsageError(f"{name} must be {' or '.join(known)}, not {text!r}")
    return text


def _list(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in values.get(name, "").split(",") if part.strip())
