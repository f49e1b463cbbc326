"""The forms of answers on copies, as OpenAPI shows them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lookalike.server.schemas import RecordAnswer


class CopyMemberAnswer(BaseModel):
    """An image of a copy group."""

    record: RecordAnswer
    copy_of: str | None = Field(description="The image it was found to be a copy of.")
    reason: str = Field(examples=["same picture, cropped to 80 %"])
    score: float


class CopyGroupAnswer(BaseModel):
    """One picture in several files; `canonical` is the one that stands for it, and comes first."""

    canonical: str
    members: list[CopyMemberAnswer]


class CopyGroupsAnswer(BaseModel):
    """Copy groups as they are now, and what was decided or taken back."""

    groups: list[CopyGroupAnswer]
    decided: str | None = Field(default=None, examples=["merge"])
    undone: str | None = Field(default=None, examples=["split"])
