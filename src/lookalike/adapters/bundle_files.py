"""Find, read and verify model bundles: packaged ones by name, others by folder.

A folder with `bundle.toml` (format 1, docs/models.md) is read as it says; a
folder without one is tried as an ONNX CLIP repository (`bundle_foreign`).
Reading a bundle opens no model file, so it costs milliseconds.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lookalike.adapters.bundle_foreign import read_foreign
from lookalike.adapters.bundle_hash import sha256_of
from lookalike.adapters.bundle_manifest import read_manifest
from lookalike.domain.bundle import Bundle
from lookalike.domain.errors import (
    BundleCorruptError,
    BundleError,
    MissingFileError,
    UnknownModelError,
    UnsupportedInputError,
    suggest_names,
)

MANIFEST: Final = "bundle.toml"
PACKAGED: Final = Path(__file__).resolve().parent.parent / "bundles"
DEFAULT_BUNDLE: Final = "lite"

FileState = Literal["ok", "missing", "corrupt", "unstated"]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What `verify` found of one file: `unstated` when no hash is known for it."""

    path: str
    state: FileState
    size_bytes: int
    expected: str
    actual: str


def packaged_names(packaged: Path = PACKAGED) -> tuple[str, ...]:
    """List the names of the bundles that ship with Lookalike."""
    return tuple(sorted(found.parent.name for found in packaged.glob(f"*/{MANIFEST}")))


def load_bundle(name: str | Path = DEFAULT_BUNDLE, *, packaged: Path = PACKAGED) -> Bundle:
    """Read a bundle by packaged name, or by folder.

    Raises:
        UnknownModelError: neither a packaged name nor a folder.
        MissingFileError: a file that the bundle names is not there.
        BundleError: the folder holds no bundle, one in a newer format, or one
            whose description is wrong.
    """
    text = str(name)
    if text in packaged_names(packaged):
        return _read(packaged / text)
    folder = Path(text).expanduser()
    if folder.is_dir():
        return _read(folder.resolve())
    if folder.name == MANIFEST and folder.is_file():
        return _read(folder.resolve().parent)
    raise UnknownModelError(
        f"there is no model bundle named {text!r}, nor a folder of that name",
        hint=suggest_names(text, packaged_names(packaged)),
    )


def load_encoder_bundle(name: str | Path = DEFAULT_BUNDLE, *, packaged: Path = PACKAGED) -> Bundle:
    """Read a bundle that encodes pictures or words, by packaged name or by folder.

    Raises:
        UnsupportedInputError: it is a detector.
        BundleError: as for `load_bundle`.
    """
    bundle = load_bundle(name, packaged=packaged)
    if bundle.kind == "detector":
        raise UnsupportedInputError(
            f"the bundle {bundle.name!r} is a detector, which makes no vectors",
            hint="choose an image, text or dual bundle: lookalike models list",
        )
    return bundle


def verify(bundle: Bundle) -> tuple[FileReport, ...]:
    """Hash every file of a bundle again and compare with what the bundle states."""
    return tuple(_verify_file(bundle, file.path, file.sha256) for file in bundle.files)


def require_intact(bundle: Bundle) -> None:
    """Raise unless every file of the bundle is there and has its stated hash.

    Raises:
        MissingFileError: a file is not there.
        BundleCorruptError: a file's hash differs.
    """
    for report in verify(bundle):
        if report.state == "missing":
            raise _missing(bundle, report.path)
        if report.state == "corrupt":
            raise BundleCorruptError(
                f"{report.path} of the bundle {bundle.name!r} has the SHA-256 "
                f"{report.actual[:12]}…, its description says {report.expected[:12]}…",
                hint="install or fetch the bundle again; the file was changed or cut short",
            )


def _read(folder: Path) -> Bundle:
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            table = tomllib.loads(manifest.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BundleError(
                f"{manifest} is not valid TOML: {error}", hint="see docs/models.md for the format"
            ) from error
        bundle = read_manifest(table, folder)
    else:
        bundle = read_foreign(folder)
    for file in bundle.files:
        if not bundle.path(file.path).is_file():
            raise _missing(bundle, file.path)
    return bundle


def _missing(bundle: Bundle, path: str) -> MissingFileError:
    return MissingFileError(
        f"the bundle {bundle.name!r} names {path}, which is not in {bundle.root}",
        hint="install or fetch the bundle again",
    )


def _verify_file(bundle: Bundle, path: str, expected: str) -> FileReport:
    place = bundle.path(path)
    if not place.is_file():
        return FileReport(path, "missing", 0, expected, "")
    actual = sha256_of(place)
    state: FileState = "ok" if actual == expected else "corrupt" if expected else "unstated"
    return FileReport(path, state, place.stat().st_size, expected, actual)
