"""The Python interface: `lookalike.open("my.index")`."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from lookalike.domain.answers import hit_json, record_json, result_json, title_of
from lookalike.domain.errors import NotFoundError
from lookalike.domain.images import ImageId, is_image_id
from lookalike.domain.queries import ImagePart, Query, Region, Wishes
from lookalike.domain.query_filters import filters_from_options
from lookalike.domain.query_language import parse_query
from lookalike.engine.completion import complete
from lookalike.engine.exporting import ExportOptions
from lookalike.engine.importing import ImportOptions
from lookalike.engine.ingest import IngestOptions
from lookalike.wiring.embedded import OpenOptions, open_index
from lookalike.wiring.moving import export_index, import_index
from lookalike.wiring.sources import open_sources

if TYPE_CHECKING:
    from types import TracebackType

    from PIL.Image import Image

    from lookalike.domain.hits import Hit, SearchResult
    from lookalike.engine.engine import Engine
    from lookalike.engine.exporting import ExportReport
    from lookalike.engine.importing import ImportReport
    from lookalike.engine.reports import IngestReport, OnProgress

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image"
"""A path, a URL, an id in the index, the bytes of a file, or a Pillow image."""


class Results(Sequence["Hit"]):
    """Hits in order, which show themselves as a gallery in a notebook."""

    def __init__(self, result: SearchResult, engine: Engine) -> None:
        """Wrap an answer; thumbnails are read when they are shown."""
        self._result = result
        self._engine = engine

    @property
    def result(self) -> SearchResult:
        """The whole answer: totals, timings, what is degraded, the next page's cursor."""
        return self._result

    @property
    def next(self) -> str | None:
        """The cursor of the next page, or None."""
        return self._result.next

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return result_json(self._result)

    def __len__(self) -> int:
        """Return how many hits this page has."""
        return len(self._result.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        """Return a hit, or several."""
        return self._result.hits[index]

    def __repr__(self) -> str:
        """Return a line a hit."""
        lines = [f"{len(self)} of {self._result.total} for {self._result.query!r}"]
        lines += [f"  {hit.score:.3f}  {hit.record.id[:8]}  {title_of(hit.record)}" for hit in self]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a gallery of thumbnails."""
        tiles = "".join(self._tile(hit) for hit in self)
        caption = html.escape(f"{len(self)} of {self._result.total} for {self._result.query!r}")
        return (
            f"<p>{caption}</p>"
            f'<div style="display:flex;flex-wrap:wrap;gap:8px">{tiles or "nothing found"}</div>'
        )

    def _tile(self, hit: Hit) -> str:
        try:
            thumbnail = base64.b64encode(self._engine.thumbnail(hit.record.id)).decode("ascii")
        except NotFoundError:  # of an image that is known by its vector alone
            thumbnail = ""
        title = html.escape(title_of(hit.record), quote=True)
        score = html.escape(f"{hit.score:.3f} · {hit_json(hit)['id'][:8]}")
        return (
            f'<figure style="margin:0;width:160px" title="{title}">'
            f'<img src="data:image/jpeg;base64,{thumbnail}" alt="{title}" '
            'style="width:160px;height:120px;object-fit:cover;border-radius:4px">'
            f'<figcaption style="font-size:11px;overflow:hidden;white-space:nowrap;'
            f'text-overflow:ellipsis">{title}<br>{score}</figcaption></figure>'
        )


class Index:
    """An index folder. Use it in a `with` block, or call `close`."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine."""
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine itself, for everything that has no short form here."""
        return self._engine

    def search(
        self, query: str, k: int = 20, *, cursor: str | None = None, explain: bool = False,
        as_typed: bool = False, wishes: Wishes | None = None, **filters: str | float | bool,
    ) -> Results:  # fmt: skip
        """Search by words in the query language; filters by their names (`color="blue"`).

        `as_typed` leaves words that seem misspelt as they are. `wishes` names images
        that are what is wanted or not, and how much hits may not repeat each other.

        Raises:
            UsageError: the query or a filter cannot be understood.
        """
        asked = parse_query(query, k=k)
        asked = replace(
            asked,
            filter=asked.filter & filters_from_options(_texts(filters)),
            cursor=cursor,
            is_explained=explain,
            is_as_typed=as_typed,
        )
        asked = wishes.applied(asked) if wishes else asked
        return Results(self._engine.search(asked), self._engine)

    def similar(
        self, picture: Picture, k: int = 20, *, text: str = "", region: Region | None = None,
        cursor: str | None = None, wishes: Wishes | None = None, **filters: str | float | bool,
    ) -> Results:  # fmt: skip
        """Search by a picture or a region of it (x, y, width, height as fractions), and words."""
        asked = parse_query(text, k=k) if text else Query(k=k)
        asked = replace(
            asked,
            source=asked.source or "picture",
            images=(*asked.images, replace(_image_part(picture), region=region)),
            filter=asked.filter & filters_from_options(_texts(filters)),
            cursor=cursor,
        )
        asked = wishes.applied(asked) if wishes else asked
        return Results(self._engine.search(asked), self._engine)

    def complete(self, query: str, *, limit: int = 8) -> list[str]:
        """Return queries that go on as this one begins: words, filters, values and objects."""
        return [one.text for one in complete(self._engine, query, limit=limit)]

    def index(
        self, *sources: str | os.PathLike[str], licence: str = "unknown",
        on_progress: OnProgress | None = None,
    ) -> IngestReport:  # fmt: skip
        """Bring in folders, tables, archives or URLs; what is known already is passed over."""
        opened = open_sources([os.fspath(source) for source in sources], self._engine.location)
        options = IngestOptions(licence=licence)
        return self._engine.index(opened, options, on_progress)

    def get(self, image: str) -> dict[str, Any]:
        """Return everything known of an image, by its id or a unique beginning of it."""
        return record_json(self._engine.record(image))

    def thumbnail(self, image: str) -> bytes:
        """Return an image's thumbnail file."""
        return self._engine.thumbnail(self._engine.resolve(image))

    def remove(self, *images: str, block: bool = False) -> int:
        """Remove images by id; with `block` they may not come back."""
        ids = [self._engine.resolve(image) for image in images]
        return self._engine.remove(ids, is_blocked=block)

    def export(
        self, folder: str | os.PathLike[str], *, thumbnails: bool = True, originals: bool = True,
        on_progress: OnProgress | None = None,
    ) -> ExportReport:  # fmt: skip
        """Write everything into a new folder, in the format of docs/export-format.md."""
        options = ExportOptions(has_thumbnails=thumbnails, has_originals=originals)
        return export_index(self._engine, folder, options, on_progress)

    def import_(
        self, folder: str | os.PathLike[str], *, verify: bool = True,
        on_progress: OnProgress | None = None,
    ) -> ImportReport:  # fmt: skip
        """Bring in what another index exported; what is here already stays."""
        options = ImportOptions(is_verifying=verify)
        return import_index(self._engine, folder, options, on_progress)

    def status(self) -> Mapping[str, Any]:
        """Return the state of the index."""
        return self._engine.status().to_json()

    def close(self) -> None:
        """Close the index."""
        self._engine.close()

    def __len__(self) -> int:
        """Return how many images can be found."""
        return len(self._engine)

    def __contains__(self, image: object) -> bool:
        """Tell whether an id is in the index."""
        return isinstance(image, str) and is_image_id(image) and self._engine.has(ImageId(image))

    def __enter__(self) -> Index:
        """Return the index."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def open(  # noqa: A001 - lookalike.open reads as it should
    folder: str | os.PathLike[str], *, create: bool = False, encoder: str | None = None
) -> Index:
    """Open an index folder, or a cluster by its `lookalike.toml`.

    With `create`, a folder's index is made when there is none.

    Raises:
        LookalikeError: it cannot be opened; the error's `hint` says what to do.
    """
    options = OpenOptions(encoder=encoder, is_creating=create)
    if os.fspath(folder).endswith(".toml"):
        from lookalike.wiring.cluster import open_cluster

        return Index(open_cluster(folder, options))
    return Index(open_index(folder, options))


def _texts(filters: Mapping[str, str | float | bool]) -> dict[str, str]:
    return {name: str(value) for name, value in filters.items()}


def _image_part(picture: Picture) -> ImagePart:
    if isinstance(picture, bytes):
        return ImagePart("data", data=picture)
    if isinstance(picture, str | os.PathLike):
        text = os.fspath(picture)
        if text.startswith(("http://", "https://")):
            return ImagePart("url", text)
        if is_image_id(text) and not os.path.exists(text):
            return ImagePart("id", text)
        return ImagePart("path", text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return ImagePart("data", data=buffer.getvalue())
