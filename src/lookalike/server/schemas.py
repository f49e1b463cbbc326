"""The forms of requests and answers, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookalike.server.showing import Show

Unit = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=-10, le=10)]

ImageReference = Annotated[str, Field(min_length=1, max_length=64)]
MOST_JUDGED = 32

_HIT: dict[str, Any] = {
    "id": "3f1c9a0e5b7d42c6a8e1f0937b6d5c24",
    "path": "/pictures/beach.jpg",
    "score": 0.03279,
    "relevance": 0.94,
    "parts": {"cosine": 0.31, "bm25": 4.2},
    "why": ["words: dog, beach"],
    "width": 1600,
    "height": 1067,
    "type": "photo",
    "title": "A dog runs along the beach",
    "labels": ["dog"],
    "objects": [{"label": "dog", "score": 0.91, "box": [0.2, 0.3, 0.25, 0.4], "cosine": 0.31}],
    "licence": "cc-by-4.0",
    "copies": 0,
}


class Strict(BaseModel):
    """A form without unknown fields."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    """What went wrong and what to do next."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["no image 00000000000000000000000000000000 in this index"])
    hint: str = Field(examples=["search for it first"])
    reason: str | None = Field(
        default=None, description="Why a picture was refused; one of a fixed set of names."
    )
    place: tuple[int, int] | None = Field(
        default=None, description="Which characters of the query are wrong: from, and up to."
    )


class ErrorEnvelope(BaseModel):
    """The form of every error."""

    error: ErrorDetail


class QueryText(Strict):
    """Words of a query; a negative weight pushes away."""

    text: str = Field(min_length=1, examples=["at night"])
    weight: Weight = 1.0


class QueryImage(Strict):
    """A picture of a query: exactly one of `id`, `url` and `data`."""

    id: str | None = Field(default=None, examples=["3f1c9a0e5b7d42c6a8e1f0937b6d5c24"])
    url: str | None = Field(default=None, max_length=4096)
    data: str | None = Field(default=None, description="The file's bytes as base64.", repr=False)
    region: tuple[Unit, Unit, Unit, Unit] | None = Field(
        default=None, description="x, y, width, height as fractions of the upright picture."
    )
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _names_one(self) -> QueryImage:
        if sum(value is not None for value in (self.id, self.url, self.data)) != 1:
            raise ValueError("give exactly one of id, url and data")
        return self


FilterValue = str | int | float | bool | list[str]


class SearchRequest(Strict):
    """A search of words, pictures and filters; `q` is text in the query language."""

    q: str = Field(default="", examples=["dog on a beach type:photo"])
    texts: list[QueryText] = Field(default_factory=list[QueryText])
    images: list[QueryImage] = Field(default_factory=list[QueryImage])
    filter: dict[str, FilterValue] = Field(
        default_factory=dict[str, FilterValue],
        description="The query language's filters by name, as the query parameters of a search.",
        examples=[{"type": "photo", "min_width": 800, "licence": "cc"}],
    )
    k: int = Field(default=20, ge=1)
    cursor: str | None = None
    explain: bool = False
    show: Show = Field(default="all", description="As the parameter of the same name.")
    collapse: bool = Field(default=True, description="Show one of each group of copies.")
    as_typed: bool = Field(default=False, description="Leave words that seem misspelt as they are.")
    more: list[ImageReference] = Field(
        default_factory=list[str], max_length=MOST_JUDGED,
        description="Ids of images that are what is wanted.", examples=[[_HIT["id"]]],
    )  # fmt: skip
    less: list[ImageReference] = Field(
        default_factory=list[str], max_length=MOST_JUDGED,
        description="Ids of images that are not; they are left out.",
    )  # fmt: skip
    diversity: Unit | None = Field(
        default=None,
        description="How much hits may not repeat each other; the index's own if none.",
    )

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"q": "dog on a beach type:photo", "k": 20},
                {"images": [{"id": _HIT["id"], "region": [0.1, 0.2, 0.5, 0.5]}], "q": "at night"},
            ]
        },
    )


class UrlRequest(Strict):
    """A picture to fetch from the web."""

    url: str = Field(min_length=1, max_length=4096, examples=["https://example.org/beach.jpg"])


class IdsRequest(Strict):
    """Images of the index."""

    ids: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        min_length=1,
        max_length=100,
        description="Ids, or unique beginnings of them.",
        examples=[[_HIT["id"], "7b2d11c4"]],
    )


class ClickRequest(Strict):
    """One hit that was chosen."""

    query_id: str = Field(max_length=64, examples=["5f1c1a1f0b4e4b0f8d3c2b1a09f8e7d6"])
    image_id: str = Field(max_length=64, examples=[_HIT["id"]])
    position: int = Field(description="Where it stood in that answer, counted from 1.")
    action: Literal["open", "download", "similar"] = "open"


class ImageFields(Strict):
    """What is said of a picture that is added."""

    url: str = Field(default="", max_length=4096, description="Where the picture is on the web.")
    page_url: str = Field(default="", max_length=4096)
    title: str = Field(default="", max_length=2000)
    alt_text: str = Field(default="", max_length=10_000)
    caption: str = Field(default="", max_length=10_000)
    page_text: str = Field(default="", max_length=50_000)
    licence: str = Field(default="", max_length=500, description="An SPDX id, name or URL.")
    taken: str = Field(default="", max_length=40, examples=["2024-05-31"])


Box = tuple[float, float, float, float]
"""x, y, width, height as fractions of the upright picture."""


class ObjectAnswer(BaseModel):
    """One object detected in a picture."""

    label: str = Field(examples=["dog"])
    score: float = Field(description="How sure the detector is, in [0, 1].")
    box: Box = Field(description="x, y, width, height as fractions of the upright picture.")


class MatchedObjectAnswer(ObjectAnswer):
    """One object that made an image a hit."""

    cosine: float | None = Field(
        default=None, description="How near it is to the query, where it was found so."
    )


class WordAnswer(BaseModel):
    """One word read off a picture."""

    text: str
    score: float
    box: Box
    line: int = Field(description="Words of one line bear the same number.")


class AskedAnswer(BaseModel):
    """What is seen in the picture that is asked with."""

    objects: list[ObjectAnswer]
    words: list[WordAnswer]


class HitAnswer(BaseModel):
    """One image found; `path` or `url` says where its picture is."""

    id: str
    path: str | None = None
    url: str | None = None
    score: float
    relevance: float = Field(description="Calibrated, in [0, 1].")
    parts: dict[str, float] = Field(description="The features that made the score.")
    why: list[str]
    width: int
    height: int
    type: str
    title: str
    labels: list[str]
    objects: list[MatchedObjectAnswer] = Field(description="The objects that made it a hit.")
    licence: str
    copies: int = Field(description="Other places of the file, and copies that hang under it.")
    shares: dict[str, float] | None = Field(
        default=None, description="With `explain`: what each feature adds to the score."
    )
    copy_of: CopyEvidence | None = Field(
        default=None, description="Why it is held for a copy of the asked picture."
    )


class CopyEvidence(BaseModel):
    """Why two images are held for the same picture."""

    reason: str = Field(examples=["same picture, cropped to 80 %"])
    score: float | None = Field(default=None, description="How surely, in [0, 1].")
    phash_distance: int | None = Field(default=None, description="Bits that differ, of 64.")
    cosine: float | None = None


class CompletionAnswer(BaseModel):
    """A whole line that goes on as the typed one begins."""

    text: str = Field(examples=["dog on a beach color:blue"])
    kind: Literal["past", "word", "filter", "value", "label"]
    count: int | None = Field(default=None, description="How often a past query was asked.")


class CompleteAnswer(BaseModel):
    """Completions, the likeliest first."""

    completions: list[CompletionAnswer]


class NoticeAnswer(BaseModel):
    """Something about the query that people should know."""

    code: str = Field(examples=["language"])
    message: str = Field(examples=["This looks like German. The encoder lite knows English: …"])


class SearchAnswer(BaseModel):
    """A page of hits; `next` is the cursor of the next page."""

    query: str
    hits: list[HitAnswer]
    total: int
    no_good_match: bool = Field(
        default=False,
        description="No hit is as relevant as an answer should be; they are what comes nearest.",
    )
    degraded: list[str] = Field(description="Paths that failed or were late.")
    timings_ms: dict[str, float]
    next: str | None
    corrected: str | None = Field(
        default=None,
        description="What was searched for, where words of the query seemed misspelt.",
        examples=["dog on a beach"],
    )
    notices: list[NoticeAnswer] | None = None
    reading: list[str] | None = Field(
        default=None, description="What plain words were read as.", examples=[["dog ≥ 2"]]
    )
    reading_met: int | None = Field(
        default=None, description="So many of the first hits meet the reading."
    )
    words_instead: str | None = Field(
        default=None,
        description="A query for the words alone.",
        examples=['1:"two dogs"'],
    )
    asked: AskedAnswer | None = Field(
        default=None, description="Of one picture, with `show=objects` or `text`."
    )
    explanation: dict[str, Any] | None = None
    query_id: str
    is_logged: bool | None = Field(
        default=None, description="True where `POST /v1/clicks` takes clicks on these hits."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "dog on a beach",
                    "hits": [_HIT],
                    "total": 1,
                    "no_good_match": False,
                    "degraded": [],
                    "timings_ms": {"encode": 4.1, "ann": 0.6, "bm25": 0.4, "total": 6.0},
                    "next": None,
                    "query_id": "b2f1c0d4",
                }
            ]
        }
    )


class AddAnswer(BaseModel):
    """An added picture: durable, and searchable."""

    id: str
    is_new: bool = Field(description="False where the index held the same bytes already.")
    record: str = Field(examples=["/v1/images/3f1c9a0e5b7d42c6a8e1f0937b6d5c24"])


class RemoveAnswer(BaseModel):
    """How many images were removed."""

    removed: int
    blocked: bool


class RecordAnswer(BaseModel):
    """Everything known of an image."""

    model_config = ConfigDict(extra="allow")

    id: str
    width: int
    height: int
    bytes: int
    format: str
    type: str
    colors: list[str]
    objects: list[ObjectAnswer]
    ocr_text: str
    words: list[WordAnswer] = Field(description="Words read off it, in reading order.")
    embedded_title: str
    embedded_text: str
    keywords: list[str]
    creator: str
    rights: str
    place: tuple[float, float] | None = Field(description="Latitude and longitude, if kept.")
    licence: str
    sources: list[dict[str, Any]]
    copy_group: int | None = Field(description="The same number for all copies of one picture.")


class SuggestAnswer(BaseModel):
    """Completions of what was typed."""

    suggestions: list[str]


class ClickAnswer(BaseModel):
    """Whether the click was kept; it is dropped where nothing is logged."""

    is_logged: bool


class StatusAnswer(BaseModel):
    """The state of the index."""

    model_config = ConfigDict(extra="allow")

    images: int
    sources: int
    regions: int
    copy_groups: int
    spaces: list[dict[str, Any]]
    ann_recall_at_10: dict[str, float]
    bytes: int
    seq: int


class HealthAnswer(BaseModel):
    """One word on how the server is."""

    status: str = Field(examples=["ok"])


HitAnswer.model_rebuild()
SearchAnswer.model_rebuild()
