"""What an exported index says of itself: the manifest of an archive, read without trust.

The format is described column by column in docs/export-format.md. `VERSION` rises with every
change that an older reader must not pass over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

from lookalike.domain.errors import ArchiveCorruptError, ArchiveFormatError

FORMAT: Final = "lookalike-export"
VERSION: Final = 2
MANIFEST_NAME: Final = "export.json"
VECTOR_KINDS: Final = ("vectors", "region_vectors")
KINDS: Final = {
    1: ("images", "sources", "vectors", "failures", "blocked"),
    2: (
        "images", "sources", "vectors", "regions", "region_vectors", "copies", "decisions",
        "failures", "blocked",
    ),
}  # fmt: skip
"""What the files of each version hold."""
MOST_DIM: Final = 1 << 16
UNIT_SLACK: Final = 0.02
"""How far the norm of a vector may be from 1 after rounding to fp16."""

_COUNTED_SINCE_2: Final = {"regions", "copy_groups", "copies", "decisions"}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HINT: Final = "copy the export again, or make it anew"


@dataclass(frozen=True, slots=True)
class ArchivedEncoder:
    """The encoder that made the vectors: its bundle's name, version and fingerprint."""

    name: str
    version: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ArchivedSpace:
    """The vectors that are held; `encoder` is None where they came ready."""

    name: str
    dim: int
    encoder: ArchivedEncoder | None = None

    def folder(self, kind: str = "vectors") -> str:
        """Return where the vectors of images, or of regions, lie in the archive."""
        return f"{kind}/{quote(self.name, safe='', errors='surrogatepass')}"


@dataclass(frozen=True, slots=True)
class ArchiveCounts:
    """What an archive holds; `sources` counts those that have not vanished.

    `copies` are the images in copy groups.
    """

    images: int = 0
    sources: int = 0
    vanished_sources: int = 0
    failures: int = 0
    blocked: int = 0
    thumbnails: int = 0
    originals: int = 0
    regions: int = 0
    copy_groups: int = 0
    copies: int = 0
    decisions: int = 0


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file of an archive, by its path below the folder."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What is known of an export when it ends, apart from its files.

    `is_quiet` tells that nothing changed in the index meanwhile, so that the archive shows one
    moment. `left_out` counts images that had no source yet, which a writer was at work on.
    """

    index: str
    space: ArchivedSpace
    written_by: str
    written: float
    has_thumbnails: bool = True
    has_originals: bool = True
    is_quiet: bool = True
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """All that `export.json` states."""

    facts: ArchiveFacts
    counts: ArchiveCounts
    files: tuple[ArchivedFile, ...] = field(repr=False)
    version: int = VERSION

    @property
    def bytes(self) -> int:
        """The size of the listed files; pictures are not among them."""
        return sum(file.bytes for file in self.files)

    def chunk(self, kind: str) -> tuple[ArchivedFile, ...]:
        """Return the files of one kind (`images`, `vectors`, …) in their order."""
        return tuple(file for file in self.files if kind_of(file) == kind)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `export.json` holds."""
        facts, encoder = self.facts, self.facts.space.encoder
        return {
            "format": FORMAT,
            "version": self.version,
            "written_by": facts.written_by,
            "written": facts.written,
            "index": facts.index,
            "space": {
                "name": facts.space.name,
                "dim": facts.space.dim,
                "encoder": encoder and _named(encoder),
            },
            "holds": {"thumbnails": facts.has_thumbnails, "originals": facts.has_originals},
            "quiet": facts.is_quiet,
            "left_out": facts.left_out,
            "counts": _named(self.counts),
            "files": [_named(file) for file in self.files],
        }


def kind_of(file: ArchivedFile) -> str:
    """Return what a file holds: the first word of its path."""
    return re.split("[/-]", file.name, maxsplit=1)[0]


def chunk_name(kind: str, number: int, space: ArchivedSpace | None = None) -> str:
    """Return the path of a chunk: `images-00000.parquet`, `vectors/lite/00000.npy`."""
    if kind in VECTOR_KINDS and space is not None:
        return f"{space.folder(kind)}/{number:05}.npy"
    return f"{kind}-{number:05}.parquet"


def manifest_of_json(values: object) -> ArchiveManifest:
    """Read what `export.json` holds, and check that its parts fit together.

    Raises:
        ArchiveFormatError: a newer version wrote it.
        ArchiveCorruptError: it is not a manifest, or contradicts itself.
    """
    top = _object(values, MANIFEST_NAME)
    if top.get("format") != FORMAT:
        raise _wrong(f"{MANIFEST_NAME} is not that of a Lookalike export")
    version = _number(top, "version")
    if not version:
        raise _wrong(f"{MANIFEST_NAME} states no version")
    if version > VERSION:
        raise ArchiveFormatError(
            f"the export has format version {version}; this version reads up to {VERSION}",
            hint="install a newer Lookalike",
        )
    space = _object(top.get("space"), "space")
    encoder = space.get("encoder")
    holds = _object(top.get("holds"), "holds")
    counts = _object(top.get("counts"), "counts")
    facts = ArchiveFacts(
        index=_text(top, "index"),
        space=ArchivedSpace(
            _text(space, "name"), _number(space, "dim"), _encoder(encoder) if encoder else None
        ),
        written_by=_text(top, "written_by"),
        written=_time(top, "written"),
        has_thumbnails=holds.get("thumbnails") is True,
        has_originals=holds.get("originals") is True,
        is_quiet=top.get("quiet") is True,
        left_out=_number(top, "left_out"),
    )
    names = set(ArchiveCounts.__dataclass_fields__) - (_COUNTED_SINCE_2 if version < 2 else set())
    files = top.get("files")
    if not isinstance(files, list):
        raise _wrong(f"{MANIFEST_NAME} lists no files")
    manifest = ArchiveManifest(
        facts,
        ArchiveCounts(**{name: _number(counts, name) for name in names}),
        tuple(_file(one) for one in cast("list[object]", files)),
        version,
    )
    _check(manifest)
    return manifest


def _check(manifest: ArchiveManifest) -> None:
    """Demand that chunks are whole, named as they must be, and add up to the counts."""
    space, counts = manifest.facts.space, manifest.counts
    if not 0 < space.dim <= MOST_DIM or not space.name.strip("."):
        raise _wrong(f"the space {space.name!r} of {space.dim} numbers cannot be")
    kinds = KINDS.get(manifest.version, ())
    by_kind = {kind: manifest.chunk(kind) for kind in kinds}
    if sum(map(len, by_kind.values())) != len(manifest.files):
        raise _wrong(f"{MANIFEST_NAME} lists files of an unknown kind")
    for kind, files in by_kind.items():
        for number, file in enumerate(files):
            if file.name != (wanted := chunk_name(kind, number, space)):
                raise _wrong(f"{MANIFEST_NAME} lists {file.name!r} in the place of {wanted}")
    rows = {kind: [file.rows for file in files] for kind, files in by_kind.items()}
    sums = {
        "images": counts.images, "failures": counts.failures, "blocked": counts.blocked,
        "sources": counts.sources + counts.vanished_sources, "regions": counts.regions,
        "copies": counts.copies, "decisions": counts.decisions,
    }  # fmt: skip
    sums = {kind: count for kind, count in sums.items() if kind in rows}
    chunks = len(rows["images"])
    is_aligned = rows["images"] == rows["vectors"] and len(rows["sources"]) == chunks
    if manifest.version > 1:
        is_aligned &= rows["regions"] == rows["region_vectors"] and len(rows["regions"]) == chunks
    if not is_aligned or any(sum(rows[kind]) != count for kind, count in sums.items()):
        raise _wrong("the rows of the files do not add up to the counts")


def _named(value: object) -> dict[str, Any]:
    return {name: getattr(value, name) for name in getattr(value, "__dataclass_fields__", ())}


def _encoder(value: object) -> ArchivedEncoder:
    values = _object(value, "encoder")
    return ArchivedEncoder(
        _text(values, "name"), _text(values, "version"), _text(values, "fingerprint")
    )


def _file(value: object) -> ArchivedFile:
    values = _object(value, "files")
    file = ArchivedFile(
        _text(values, "name"),
        _number(values, "rows"),
        _number(values, "bytes"),
        _text(values, "sha256"),
    )
    if not _SHA256.fullmatch(file.sha256):
        raise _wrong(f"{MANIFEST_NAME} states no SHA-256 of {file.name!r}")
    return file


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong(f"{MANIFEST_NAME}: {name} is not an object")
    return cast("Mapping[str, object]", value)


def _number(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise _wrong(f"{MANIFEST_NAME}: {name} is not a whole number")
    return value


def _time(values: Mapping[str, object], name: str) -> float:
    value = values.get(name)
    if not isinstance(value, int | float) or not -1e18 < value < 1e18:
        raise _wrong(f"{MANIFEST_NAME}: {name} is not a time")
    return float(value)


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise _wrong(f"{MANIFEST_NAME}: {name} is not a text")
    return value


def _wrong(message: str) -> ArchiveCorruptError:
    return ArchiveCorruptError(message, hint=_HINT)
