"""Which language a query is written in, as far as its script and its small words tell.

A wrong alarm is worse than none: a text of names or of things alone is left undecided, and counts
as English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

ENGLISH: Final = "en"
MANY: Final = "mul"
"""What a bundle says that knows many languages (ISO 639-2)."""

NAMES: Final = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
    "pt": "Portuguese", "nl": "Dutch", "sv": "Swedish", "da": "Danish", "no": "Norwegian",
    "fi": "Finnish", "pl": "Polish", "cs": "Czech", "tr": "Turkish", "zh": "Chinese",
    "ja": "Japanese", "ko": "Korean", "ru": "Russian", "el": "Greek", "ar": "Arabic",
    "he": "Hebrew", "hi": "Hindi", "th": "Thai",
}  # fmt: skip

_SCRIPTS: Final = {
    "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru",
    "GREEK": "el", "ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi", "THAI": "th",
}  # fmt: skip
"""The language most often written in a script; Cyrillic and Arabic letters have others too."""

_SMALL_WORDS: Final = """
de: der die das dem den des an am in so ein eine einen einem einer und mit auf im vom zum zur ist
    sind nicht über unter beim aus nach vor hinter neben zwischen ohne für auch wie hund hunde
    katze frau mann haus baum berge meer himmel blume rotes grüne mädchen schnee
fr: le la les en de un une des du et avec dans sur sous sans est sont qui au aux près devant
    derrière entre chez pour cette ces chien chiens plage enfant femme maison arbre montagne ciel
    fleur fleurs neige fille garçon rouge
es: el la los las un en de no se una unos unas y con del al sobre bajo sin está están que para por
    junto cerca delante detrás entre muy perro perros gato playa niño niña mujer hombre árbol
    montaña cielo flor nieve rojo roja
it: il lo la un per con in gli una uno e nel nella nei nelle del della dei delle sul sulla sotto
    senza che di da vicino davanti dietro tra fra è cane cani gatto spiaggia bambino donna uomo
    albero montagna cielo fiore neve rosso rossa ragazza
pt: o a os de uma um e com em no na nos nas do da dos das sobre sob sem está estão que para perto
    atrás entre ao à cão cães gato praia criança mulher homem árvore montanha céu neve vermelho
    menina menino
nl: het in een en met op van voor naast achter onder zonder zijn bij uit naar tussen aan de hond
    honden vrouw huis zee lucht bloem sneeuw rode jongen meisje
sv: en ett och med på är av till från under utan bakom framför som vid mellan i hund hundar katt
    kvinna träd himmel snö röd flicka pojke
da: en et og med på er af til fra under uden bag foran som ved mellem i hund hunde kat kvinde træ
    bjerg himmel sne rød pige dreng
no: en et og med på er av til fra under uten bak foran som ved mellom i hund hunder katt kvinne
    fjell himmel snø rød jente gutt
fi: ja on ei joka vieressä edessä takana kanssa ilman sekä koira kissa ranta lapsi nainen mies
    talo vuori taivas lumi punainen
pl: i z na w ze pod nad przed za bez oraz jest są przy obok kot plaża dziecko kobieta drzewo góra
    niebo śnieg czerwony
cs: a s na v ve se pod nad před za bez je jsou u vedle kočka pláž dítě žena muž dům strom nebe
    sníh červený
tr: ve bir ile bu için üzerinde altında yanında olan köpek kedi çocuk kadın ağaç dağ gökyüzü
    kırmızı
"""  # noqa: RUF001 - the letters of their languages
"""A language a paragraph: its articles, prepositions, and what pictures are most often of."""

_SHARED_WORDS: Final = """
a i o s u v w y z e en on no do de me um un as is in an at to for of off by so we he am under over
son per con sin del das dos la le el al ve es est fra som ja na ze pod bag bak bei far die den er et
au il lo nos pour que sur sous via dem one des
"""
_SHARED: Final = frozenset(_SHARED_WORDS.split())
"""Small words that are also English, parts of names, or words of several languages: they support
a guess but make none."""

_LETTERS: Final = {
    "de": "ßäöü", "fr": "éèêàçùœî", "es": "ñ¿¡áíóú", "it": "òìù", "pt": "ãõâ", "nl": "ĳ",
    "sv": "åäö", "da": "æøå", "no": "æøå", "fi": "äö", "pl": "ąęłńśźż", "cs": "ěščřžůý",
    "tr": "ğışİ",
}  # fmt: skip
_ENGLISH_WORDS: Final = """
the and with of on at by from for to in is are his her their its this that an
"""
_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split())
_WORD: Final = re.compile(r"[^\W\d_]+")


def foreign_language(text: str, is_english: Callable[[str], bool]) -> str | None:
    """Return the language (ISO 639) a text is written in, None where it may be English.

    `is_english` tells English words from others.
    """
    script = _script_of(text)
    if script is not None:
        return script
    words = [word.lower() for word in _WORD.findall(unicodedata.normalize("NFC", text))]
    if len(words) < 2:
        return None
    english = sum(word in _ENGLISH for word in words)
    unknown = {word for word in words if word not in _ALL_SMALL and not is_english(word)}
    scores = {language: _score(words, unknown, language) for language in _SMALL_SETS}
    best = max(scores, key=lambda language: scores[language])
    sure, hinted = scores[best]
    explained = sure + hinted + len(unknown)
    if sure >= 2:
        return best if sure > english else None
    is_most = explained * 2 > len(words)
    is_likely = (sure and unknown and is_most) or (hinted >= 3 and is_most)
    is_likely = is_likely or (hinted >= 2 and unknown and explained >= len(words))
    return best if is_likely and not english else None


def _score(words: list[str], unknown: set[str], language: str) -> tuple[int, int]:
    """Return how many words speak for a language, and how many more could be its."""
    small = {word for word in words if word in _SMALL_SETS[language]}
    lettered = {word for word in unknown if any(one in _LETTERS[language] for one in word)}
    sure = small - _SHARED
    return len(sure), len((small - sure) | lettered)


def _script_of(text: str) -> str | None:
    """Return the language of the script that most letters are of, None for Latin ones."""
    scripts = Counter(_scripts(text))
    latin = scripts.pop("LATIN", 0)
    if latin * 2 >= latin + sum(scripts.values()):
        return None
    if scripts["HIRAGANA"] or scripts["KATAKANA"]:
        return "ja"
    return next((_SCRIPTS[one] for one, _ in scripts.most_common() if one in _SCRIPTS), None)


def _scripts(text: str) -> Iterator[str]:
    for letter in text:
        if letter.isalpha():
            yield "LATIN" if letter.isascii() else unicodedata.name(letter, "?").split(" ")[0]


_SMALL_SETS: Final = {
    found[1]: frozenset(found[2].split())
    for found in re.finditer(r"^(\w+): ((?:.+|\n +)+)", _SMALL_WORDS, re.MULTILINE)
}
_ALL_SMALL: Final = frozenset(word for words in _SMALL_SETS.values() for word in words)
