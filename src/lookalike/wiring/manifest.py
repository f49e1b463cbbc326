"""`index.toml`: what an index is, in a file that people can read."""

from __future__ import annotations

import json
import os
import tomllib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.errors import IndexCorruptError, IndexFormatError, IndexMissingError
from lookalike.domain.queries import Answering
from lookalike.settings.answering import read_answering, render_answering
from lookalike.settings.clicks import ClickSettings, read_clicks, render_clicks
from lookalike.settings.features import Features, read_features, render_features
from lookalike.settings.vectors import read_vectors, render_vectors

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1
FILE_NAME: Final = "index.toml"


@dataclass(frozen=True, slots=True)
class SpaceEntry:
    """One space: its encoder's bundle (a packaged name or a folder, empty for none)."""

    name: str
    dim: int
    bundle: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of an index that do not change with its pictures."""

    space: SpaceEntry
    features: Features = field(default_factory=Features)
    clicks: ClickSettings = field(default_factory=ClickSettings)
    answering: Answering = field(default_factory=Answering)
    vectors: VectorSettings = field(default_factory=VectorSettings)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    format: int = FORMAT


def read_manifest(folder: Path) -> Manifest:
    """Read an index's manifest, or say what is wrong with the folder."""
    path = folder / FILE_NAME
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IndexMissingError(
            f"there is no index in {folder}",
            hint="make one with: lookalike index FOLDER --index " + str(folder),
        ) from error
    except NotADirectoryError as error:
        raise IndexMissingError(f"{folder} is not a folder") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IndexCorruptError(f"{path} cannot be read: {error}") from error
    except OSError as error:
        raise IndexMissingError(f"{path} cannot be opened: {error.strerror}") from error
    return _manifest(values, str(path))


def parse_manifest(text: str, where: str) -> Manifest:
    """Read the manifest of an index that is no folder; `where` names it in errors."""
    try:
        return _manifest(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise IndexCorruptError(f"{where} cannot be read: {error}") from error


def _manifest(values: dict[str, object], path: str) -> Manifest:
    version = values.get("format")
    if not isinstance(version, int):
        raise IndexCorruptError(f"{path} states no format")
    if version > FORMAT:
        raise IndexFormatError(
            f"{path} has format {version}; this version reads up to {FORMAT}",
            hint="install a newer Lookalike",
        )
    space = values.get("space")
    if not isinstance(space, dict) or not isinstance(space.get("dim"), int):  # pyright: ignore[reportUnknownMemberType]
        raise IndexCorruptError(f"{path} names no space")
    entry = SpaceEntry(
        name=str(space.get("name", "")),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        dim=int(space["dim"]),  # pyright: ignore[reportUnknownArgumentType]
        bundle=str(space.get("bundle", "")),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        fingerprint=str(space.get("fingerprint", "")),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    )
    features = read_features(values.get("features", {}), path)
    clicks = read_clicks(values.get("clicks", {}), path)
    answering = read_answering(values.get("search", {}), path)
    vectors = read_vectors(values.get("vectors", {}), path)
    return Manifest(entry, features, clicks, answering, vectors, str(values.get("id", "")), version)


def is_left_over(path: Path) -> bool:
    """Tell whether a file in a folder without a manifest is of a making that was cut short."""
    return path.name == "index.lock" or path.name.startswith(f".{FILE_NAME}.")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all."""
    text = render_manifest(manifest)
    temporary = folder / f".{FILE_NAME}.{os.getpid()}"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)


def render_manifest(manifest: Manifest) -> str:
    """Return the text of a manifest."""
    space = manifest.space
    return (
        "# A Lookalike index. The facts below shaped it; change them and it no longer opens.\n"
        f"format = {manifest.format}\n"
        f"id = {json.dumps(manifest.id)}\n\n"
        "[space]\n"
        f"name = {json.dumps(space.name)}\n"
        f"dim = {space.dim}\n"
        f"bundle = {json.dumps(space.bundle)}\n"
        f"fingerprint = {json.dumps(space.fingerprint)}\n\n"
        "# What is looked for in pictures; a change holds for those that are added from then on.\n"
        f"{render_features(manifest.features)}\n"
        "# What is kept of answers and clicks: nothing, unless is_logged (docs/fusion.md).\n"
        f"{render_clicks(manifest.clicks)}\n"
        "# How searches are answered where they do not say (docs/relevance.md).\n"
        f"{render_answering(manifest.answering)}\n"
        "# How vectors are searched (docs/vectors.md); after a change: lookalike optimize.\n"
        f"{render_vectors(manifest.vectors)}"
    )
