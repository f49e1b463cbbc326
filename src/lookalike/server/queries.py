"""From parameters and bodies to a `Query` the engine may be given.

What a stranger sends never names a file of the server: `img:` with a path is refused, and
pictures on the web come through the guarded fetcher.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends
from fastapi import Query as Parameter

from lookalike.domain.errors import QueryError, UnknownNameError, suggest_names
from lookalike.domain.queries import ImagePart, Query, TextPart, Wishes
from lookalike.domain.query_filters import ALIASES, OPTION_NAMES, filters_from_options
from lookalike.domain.query_format import words_instead
from lookalike.domain.query_language import parse_query
from lookalike.server.bodies import checked, decode_base64
from lookalike.server.errors import BadBodyError
from lookalike.server.schemas import MOST_JUDGED
from lookalike.server.showing import Show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import Request

    from lookalike.domain.queries import Region
    from lookalike.server.context import Context
    from lookalike.server.schemas import QueryImage, SearchRequest

FILTER_NAMES: Final[dict[str, str]] = {
    "type": "photo, clipart, lineart, animated, transparent",
    "color": "one of the eleven basic colours, or a value: #ff8800~15; several with commas",
    "size": "icon, small, medium, large, huge",
    "aspect": "square, wide, tall, panorama",
    "licence": "a licence id, or cc, open, commercial, modify",
    "site": "a site, with its sub-domains",
    "min_width": "least width in pixels",
    "max_width": "most width in pixels",
    "min_height": "least height in pixels",
    "max_height": "most height in pixels",
    "object": "a label of a detected object; cat>=2 counts",
    "since": "taken at or after: 2024, 2024-05 or 2024-05-31",
    "until": "taken at or before: 2024, 2024-05 or 2024-05-31",
}
"""The filters that are query parameters, with what they take."""

_READ: Final = frozenset(
    {*OPTION_NAMES, *(name for name, meant in ALIASES.items() if meant in OPTION_NAMES)}
)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of an answer is wanted, whether explained, and what of it is shown."""

    k: int
    cursor: str | None
    is_explained: bool
    show: Show = "all"
    is_collapsed: bool = True
    is_as_typed: bool = False
    wishes: Wishes = field(default_factory=Wishes)


def wishes(
    more: Annotated[
        list[str] | None,
        Parameter(max_length=MOST_JUDGED, description="Id of an image that is what is wanted."),
    ] = None,
    less: Annotated[
        list[str] | None,
        Parameter(max_length=MOST_JUDGED, description="Id of an image that is not; left out."),
    ] = None,
    diversity: Annotated[
        float | None,
        Parameter(ge=0, le=1, description="How much hits may not repeat each other."),
    ] = None,
    collapse: Annotated[bool, Parameter(description="Show one of each group of copies.")] = True,
    as_typed: Annotated[
        bool, Parameter(description="Leave words that seem misspelt as they are.")
    ] = False,
) -> tuple[bool, bool, Wishes]:
    """Read what is wished of an answer: collapsed or not, as typed or not, and the rest."""
    return collapse, as_typed, Wishes(more or (), less or (), diversity)


def paging(
    k: Annotated[int, Parameter(ge=1, description="How many hits to give.")] = 20,
    cursor: Annotated[
        str | None, Parameter(max_length=65_536, description="`next` of the page before.")
    ] = None,
    explain: Annotated[bool, Parameter(description="Show parts, choices and times.")] = False,
    show: Annotated[
        Show,
        Parameter(
            description="all, copies of the picture, similar ones without its copies, what is "
            "found through objects, or pictures in which the words can be read."
        ),
    ] = "all",
    wished: Annotated[tuple[bool, bool, Wishes], Depends(wishes)] = (True, False, Wishes()),
) -> Paging:
    """Read the page parameters of a request."""
    return Paging(k, cursor, explain, show, *wished)


def read_region(text: str | None) -> Region | None:
    """Return the region that `x,y,w,h` names, as fractions of the picture."""
    if not text:
        return None
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError as error:
        raise BadBodyError("region is not four numbers", hint="write 0.1,0.2,0.5,0.5") from error
    return check_region(values)


def check_region(values: Sequence[float]) -> Region:
    """Return a region that lies in the picture, or refuse it."""
    if len(values) != 4 or not all(0 <= value <= 1 for value in values):
        raise BadBodyError("region is not x,y,w,h in [0, 1]", hint="write 0.1,0.2,0.5,0.5")
    x, y, width, height = values
    if width <= 0 or height <= 0 or x + width > 1.0001 or y + height > 1.0001:
        raise BadBodyError("region does not lie in the picture", hint="x + w and y + h end at 1")
    return (x, y, min(width, 1 - x), min(height, 1 - y))


def read_filters(request: Request, *, others: frozenset[str]) -> dict[str, list[str]]:
    """Return a request's filters, after refusing parameters that mean nothing."""
    options: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name in _READ:
            options.setdefault(ALIASES.get(name, name), []).append(value)
        elif name not in others:
            hint = suggest_names(name, sorted(FILTER_NAMES.keys() | others))
            raise UnknownNameError(f"there is no parameter {name[:60]!r}", hint=hint)
    return options


def build_query(
    context: Context,
    text: str,
    *,
    options: Mapping[str, object],
    page: Paging,
    images: Sequence[ImagePart] = (),
    texts: Sequence[TextPart] = (),
) -> Query:
    """Parse the words and put every part together, within the server's bounds; blocks on URLs."""
    settings = context.settings
    length = len(text) + sum(len(part.text) for part in texts)
    if length > settings.max_query_chars:
        raise QueryError(
            f"the query has {length} characters; at most {settings.max_query_chars} are taken",
            hint="keep what matters most",
        )
    if page.k > settings.max_k:
        raise BadBodyError(
            f"k: at most {settings.max_k} hits are given at once",
            hint="ask for the next page with the answer's `next` as cursor",
        )
    query = parse_query(text) if text.strip() else Query()
    if query.reading and page.show == "text":  # what is meant is the words themselves
        query = parse_query(words_instead(text))
    if texts:
        query = _with_texts(query, texts)
    query = replace(
        query,
        images=tuple(_safe(context, part) for part in (*images, *query.images)),
        filter=query.filter & filters_from_options(options),
        k=page.k,
        cursor=page.cursor,
        is_explained=page.is_explained,
        is_collapsed=page.is_collapsed,
        is_as_typed=page.is_as_typed,
        deadline_ms=settings.deadline_ms,
    )
    query = page.wishes.applied(query)
    parts = len(query.texts) + len(query.images) + len(query.more) + len(query.less)
    if parts > settings.max_parts:
        raise QueryError(
            f"a query has at most {settings.max_parts} parts", hint="leave some of them out"
        )
    return query


def query_of_body(context: Context, body: SearchRequest) -> Query:
    """Return the query of a JSON search; blocks on URLs."""
    return build_query(
        context,
        body.q,
        options=body.filter,
        page=Paging(
            body.k,
            body.cursor,
            body.explain,
            body.show,
            body.collapse,
            body.as_typed,
            Wishes(body.more, body.less, body.diversity),
        ),
        images=[_image_part(context, image) for image in body.images],
        texts=[TextPart(text.text, text.weight) for text in body.texts],
    )


def data_part(data: bytes, region: Region | None) -> ImagePart:
    """Return the part of a query that is a picture's bytes."""
    return ImagePart("data", data=checked(data), region=region)


def _with_texts(query: Query, texts: Sequence[TextPart]) -> Query:
    """Add weighted words to a query; those that attract are matched as words too."""
    attracting = [part.text for part in texts if part.weight > 0]
    words = " ".join([query.match.words, *attracting]).strip()
    source = query.source or " ".join(attracting)
    return replace(
        query,
        source=source,
        texts=(*query.texts, *texts),
        match=replace(query.match, words=words),
    )


def _image_part(context: Context, image: QueryImage) -> ImagePart:
    region = check_region(image.region) if image.region is not None else None
    if image.id is not None:
        return ImagePart("id", reference=image.id, region=region, weight=image.weight)
    if image.url is not None:
        return ImagePart("url", reference=image.url, region=region, weight=image.weight)
    data = decode_base64(image.data or "", context.settings)
    return ImagePart("data", data=data, region=region, weight=image.weight)


def _safe(context: Context, part: ImagePart) -> ImagePart:
    """Refuse paths and fetch URLs, so that only ids and bytes reach the engine."""
    if part.kind == "path":
        raise QueryError(
            "img: takes the id of an image or a URL here", hint="upload a picture of your own"
        )
    if part.kind == "url":
        return replace(part, kind="data", reference="", data=context.fetcher.fetch(part.reference))
    return part
