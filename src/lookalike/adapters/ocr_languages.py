"""The languages that text can be read in, by code, and which reader knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import UnknownNameError, UsageError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TESSERACT_NAMES: Final[Mapping[str, str]] = {
    "af": "afr",
    "am": "amh",
    "ar": "ara",
    "az": "aze",
    "be": "bel",
    "bg": "bul",
    "bn": "ben",
    "bs": "bos",
    "ca": "cat",
    "cs": "ces",
    "cy": "cym",
    "da": "dan",
    "de": "deu",
    "el": "ell",
    "en": "eng",
    "eo": "epo",
    "es": "spa",
    "et": "est",
    "eu": "eus",
    "fa": "fas",
    "fi": "fin",
    "fo": "fao",
    "fr": "fra",
    "ga": "gle",
    "gl": "glg",
    "gu": "guj",
    "he": "heb",
    "hi": "hin",
    "hr": "hrv",
    "hu": "hun",
    "hy": "hye",
    "id": "ind",
    "is": "isl",
    "it": "ita",
    "ja": "jpn",
    "ka": "kat",
    "kk": "kaz",
    "km": "khm",
    "kn": "kan",
    "ko": "kor",
    "ky": "kir",
    "la": "lat",
    "lb": "ltz",
    "lo": "lao",
    "lt": "lit",
    "lv": "lav",
    "mi": "mri",
    "mk": "mkd",
    "ml": "mal",
    "mn": "mon",
    "mr": "mar",
    "ms": "msa",
    "mt": "mlt",
    "my": "mya",
    "ne": "nep",
    "nl": "nld",
    "no": "nor",
    "oc": "oci",
    "pa": "pan",
    "pl": "pol",
    "pt": "por",
    "qu": "que",
    "ro": "ron",
    "ru": "rus",
    "si": "sin",
    "sk": "slk",
    "sl": "slv",
    "sq": "sqi",
    "sr": "srp",
    "sr-latn": "srp_latn",
    "sv": "swe",
    "sw": "swa",
    "ta": "tam",
    "te": "tel",
    "tg": "tgk",
    "th": "tha",
    "tl": "tgl",
    "tr": "tur",
    "uk": "ukr",
    "ur": "urd",
    "uz": "uzb",
    "vi": "vie",
    "yi": "yid",
    "zh": "chi_sim",
    "zh-hant": "chi_tra",
}
"""ISO 639-1 codes, with a script where there are two, and what Tesseract calls them."""

READ_BY_RAPIDOCR: Final = frozenset(
    (
        *("af", "az", "bs", "ca", "cs", "cy", "da", "de", "en", "es", "et", "eu", "fi", "fo"),
        *("fr", "ga", "gl", "hr", "hu", "id", "is", "it", "ja", "la", "lb", "lt", "lv", "mi"),
        *("ms", "mt", "nl", "no", "oc", "pl", "pt", "qu", "ro", "sk", "sl", "sq", "sr-latn"),
        *("sv", "sw", "tl", "tr", "uz", "zh", "zh-hant"),
    )
)
"""The codes whose letters are among the characters of the models in RapidOCR's package."""

_WITHOUT_NAME: Final[Mapping[str, str]] = {"nb": "no", "nn": "no", "zh-tw": "zh-hant"}
_CODES: Final[Mapping[str, str]] = {name: code for code, name in TESSERACT_NAMES.items()}


def language_codes(languages: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of `languages`, given by code (`en`, `pt-BR`) or Tesseract's name.

    Raises:
        UnknownNameError: a language is not known.
        UsageError: none is given.
    """
    if not languages:
        raise UsageError("no language to read text in is given", hint="for example en")
    return tuple(dict.fromkeys(map(_code, languages)))


def _code(language: str) -> str:
    name = language.strip().lower().replace("_", "-")
    name = _WITHOUT_NAME.get(name, name)
    tried = (name, _CODES.get(name.replace("-", "_"), ""), name.split("-")[0])
    for code in tried:
        if code in TESSERACT_NAMES:
            return code
    known = (*TESSERACT_NAMES, *_CODES)
    raise UnknownNameError(f"unknown language {language!r}", hint=suggest_names(name, known))
