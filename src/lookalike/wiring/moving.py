"""Moving an index: exports and imports of any engine, in the format of docs/export-format.md."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.adapters.archive_parquet import ParquetArchiveWriter
from lookalike.adapters.archive_reading import ParquetArchiveReader
from lookalike.adapters.bundle_files import load_bundle, packaged_names
from lookalike.domain.errors import EncoderMismatchError, UnknownModelError
from lookalike.engine.exporting import ExportOptions, export_to, space_of
from lookalike.engine.importing import ImportOptions, import_from
from lookalike.settings import load_settings
from lookalike.wiring.embedded import OpenOptions, is_index

if TYPE_CHECKING:
    import os

    from lookalike.domain.archives import ArchiveManifest
    from lookalike.engine.engine import Engine
    from lookalike.engine.exporting import ExportReport
    from lookalike.engine.importing import ImportReport
    from lookalike.engine.reports import OnProgress
    from lookalike.settings import Settings


def export_index(
    engine: Engine,
    folder: str | os.PathLike[str],
    options: ExportOptions | None = None,
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Write everything an index holds into a new folder, or anew over an unfinished export.

    Raises:
        UsageError: the folder holds something else, or a finished export.
        DiskFullError: there is no room; what is there is not taken for an export.
        MissingExtraError: pyarrow is not installed.
    """
    place = Path(folder).expanduser().absolute()
    with closing(ParquetArchiveWriter.create(place, space_of(engine))) as archive:
        return export_to(engine, archive, options, on_progress)


def import_index(
    engine: Engine,
    folder: str | os.PathLike[str],
    options: ImportOptions | None = None,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Write an export into an index, which may hold images already.

    Raises:
        ArchiveError: the export is missing, unfinished, newer, damaged, or not what then
            stands in the index.
        EncoderMismatchError: its vectors are another encoder's.
        MissingExtraError: pyarrow is not installed.
    """
    return import_from(engine, open_export(folder), options, on_progress)


def open_export(folder: str | os.PathLike[str]) -> ParquetArchiveReader:
    """Open a finished export; its files are looked at by the import."""
    return ParquetArchiveReader.open(Path(folder).expanduser().absolute())


def target_options(
    index: Path | None,
    manifest: ArchiveManifest,
    encoder: str | None = None,
    settings: Settings | None = None,
) -> tuple[OpenOptions, Settings]:
    """Return how to open what an export is imported into; a folder that is no index becomes one.

    `index` is None for a cluster, which `init-cluster` has made with its encoder. `encoder` names
    the bundle of a new index where it is not a packaged one.

    Raises:
        EncoderMismatchError: the bundle at hand is not the one that made the export's vectors.
        UnknownModelError: there is no bundle of the name that the export states.
    """
    settings = settings or load_settings()
    if index is None or is_index(index.expanduser()):
        return OpenOptions(encoder=encoder), settings
    space = manifest.facts.space
    if space.encoder is None:
        options = OpenOptions(encoder=encoder, dim=space.dim, is_creating=True)
        return options, replace(settings, encoder=None)
    stated = space.encoder.name
    wanted = encoder or (stated if stated in packaged_names() else settings.encoder or stated)
    try:
        bundle = load_bundle(wanted)
    except UnknownModelError as error:
        raise UnknownModelError(
            f"the export's vectors were made by {space.encoder.name!r}: {error.message}",
            hint="name the folder of that bundle: --encoder FOLDER",
        ) from error
    if bundle.fingerprint != space.encoder.fingerprint:
        raise EncoderMismatchError(
            f"the bundle {wanted} is not the one that made the export's vectors "
            f"({space.encoder.name} {space.encoder.version})",
            hint="name the folder of that bundle: --encoder FOLDER",
        )
    return OpenOptions(encoder=wanted, is_creating=True), settings
