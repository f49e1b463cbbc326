"""Choose the reader of text by name or by the languages wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.adapters.ocr_languages import READ_BY_RAPIDOCR, language_codes
from lookalike.domain.errors import UnknownNameError, UsageError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.ports.ocr import Ocr

ENGINES: Final = ("auto", "rapidocr", "tesseract")


def open_ocr(
    engine: str = "auto",
    languages: Sequence[str] = ("en",),
    *,
    threads: int = 0,
    timeout_s: float = 60.0,
) -> Ocr:
    """Return a reader; nothing is loaded yet.

    `auto` is RapidOCR where its models know the letters of all `languages`, else Tesseract.
    `threads` is how many threads one call uses (0: RapidOCR's one a core, Tesseract's one).

    Raises:
        UnknownNameError: the engine or a language is not known.
        UsageError: RapidOCR is asked for a language that its models do not know.
    """
    if engine not in ENGINES:
        raise UnknownNameError(
            f"unknown reader of text {engine!r}", hint=suggest_names(engine, ENGINES)
        )
    codes = language_codes(languages)
    beyond = [code for code in codes if code not in READ_BY_RAPIDOCR]
    if engine == "rapidocr" and beyond:
        raise UsageError(
            f"RapidOCR's packaged models do not read {', '.join(beyond)}",
            hint="read them with tesseract, or leave the choice to auto",
        )
    if engine == "tesseract" or beyond:
        from lookalike.adapters.ocr_tesseract import TesseractOcr

        return TesseractOcr(codes, threads=threads, timeout_s=timeout_s)
    from lookalike.adapters.ocr_rapid import RapidOcr

    return RapidOcr(threads=threads, timeout_s=timeout_s)
