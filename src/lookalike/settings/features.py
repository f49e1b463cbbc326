"""What is looked for in every picture that is added: `[features]` of an index or a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from lookalike.domain.errors import UsageError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Features:
    """What is looked for in every picture that is added; may be changed for pictures to come.

    `ocr` is `auto`, `rapidocr`, `tesseract` or `off`; `place` keeps where pictures were taken.
    `copies` is how strict copies are judged when an image is added: `strict`, `balanced`,
    `lenient` or `off`.
    """

    objects: bool = True
    ocr: str = "auto"
    languages: tuple[str, ...] = ("en",)
    place: bool = False
    copies: str = "balanced"


OCR_ENGINES: Final = ("auto", "rapidocr", "tesseract", "off")
COPIES: Final = ("strict", "balanced", "lenient", "off")
NO_FEATURES: Final = Features(objects=False, ocr="off", copies="off")


def read_features(values: object, path: str) -> Features:
    """Return the features that a table states; `path` names its file in errors.

    Raises:
        UsageError: an entry is unknown or has another type.
    """
    usual = Features()
    if not isinstance(values, dict):
        raise UsageError(f"{path}: features must be a table")
    table = cast("dict[str, object]", values)
    known = ("objects", "ocr", "languages", "place", "copies")
    for key in table:
        if key not in known:
            raise UsageError(f"{path}: features.{key} is not known", hint=suggest_names(key, known))
    languages = table.get("languages", list(usual.languages))
    if not isinstance(languages, list) or not all(isinstance(one, str) for one in languages):  # pyright: ignore[reportUnknownVariableType]
        raise UsageError(f"{path}: features.languages must be a list of names")
    ocr = table.get("ocr", usual.ocr)
    if ocr not in OCR_ENGINES:
        raise UsageError(f"{path}: features.ocr is {ocr!r}", hint=", ".join(OCR_ENGINES))
    copies = table.get("copies", usual.copies)
    if copies not in COPIES:
        raise UsageError(f"{path}: features.copies is {copies!r}", hint=", ".join(COPIES))
    for key in ("objects", "place"):
        if not isinstance(table.get(key, True), bool):
            raise UsageError(f"{path}: features.{key} must be true or false")
    return Features(
        objects=bool(table.get("objects", usual.objects)),
        ocr=str(ocr),
        languages=tuple(cast("list[str]", languages)),
        place=bool(table.get("place", usual.place)),
        copies=str(copies),
    )


def render_features(features: Features) -> str:
    """Return the text of the `[features]` table."""
    return (
        "[features]\n"
        f"objects = {json.dumps(features.objects)}\n"
        f"ocr = {json.dumps(features.ocr)}\n"
        f"languages = {json.dumps(list(features.languages))}\n"
        f"place = {json.dumps(features.place)}\n"
        f"copies = {json.dumps(features.copies)}\n"
    )


def asked_features(
    *,
    has_objects: bool = True,
    ocr: str | None = None,
    languages: Sequence[str] | None = None,
    has_place: bool = False,
    copies: str | None = None,
) -> Features:
    """Return the features that options ask of a new index.

    Raises:
        UsageError: the engine is not known.
    """
    table: dict[str, object] = {"objects": has_objects, "place": has_place}
    if ocr is not None:
        table["ocr"] = ocr
    if copies is not None:
        table["copies"] = copies
    if languages:
        table["languages"] = list(languages)
    return read_features(table, "the options")
