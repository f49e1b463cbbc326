"""Which language a query is in, and the lexicon that tells English words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.text_lexicon import EnglishLexicon
from lookalike.domain.languages import NAMES, foreign_language

LEXICON = EnglishLexicon()


def language(text):
    return foreign_language(text, LEXICON.knows)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ein Hund auf der Wiese", "de"),
        ("Sonnenuntergang über den Bergen", "de"),
        ("un chien sur la plage", "fr"),
        ("coucher de soleil avec des nuages", "fr"),
        ("un perro en la playa", "es"),
        ("una niña con su gato", "es"),
        ("un cane sulla spiaggia", "it"),
        ("um cão na praia", "pt"),
        ("een hond op het strand", "nl"),
        ("en hund på stranden", "sv"),
        ("собака на пляже", "ru"),
        ("σκύλος στην παραλία", "el"),
        ("砂浜の犬", "ja"),
        ("沙滩上的狗", "zh"),
        ("해변의 개", "ko"),
        ("كلب على الشاطئ", "ar"),
        ("कुत्ता", "hi"),
    ],
)
def test_a_foreign_query_is_told(text, wanted):
    assert language(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "dog", "hund", "a man and a woman", "dog on the beach", "café au lait", "São Paulo",
        "los angeles skyline", "el capitan", "den haag", "the last supper da vinci",
        "mona lisa", "die hard", "war in the east", "no man is an island", "art nouveau",
        "two dogs on a beach", "piñata", "jalapeño peppers", "crème brûlée on a plate", "12:30",
        "hot dogs and a pie", "tour de france cyclists", "rio de janeiro", "IMG_1234",
    ],
)  # fmt: skip
def test_english_and_names_are_left_alone(text):
    assert language(text) is None


@given(st.text(max_size=40))
def test_any_text_is_judged(text):
    found = language(text)
    assert found is None or found in NAMES


def test_the_lexicon_knows_words_in_their_forms():
    for word in ("seaweed", "sprinklers", "Snarling", "leotards", "the", "mice", "with"):
        assert LEXICON.knows(word), word
    for word in ("moutain", "bycicle", "seidwalk", "peoplw"):
        assert not LEXICON.knows(word), word
