"""Misspelt and foreign words, and colours by value, through the whole engine."""

from dataclasses import replace

import pytest

from lookalike.domain.images import Source
from lookalike.domain.query_language import parse_query
from lookalike.ports.source import SourceItem
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry
from tests.toy import DIM, ToyEncoder, picture

CAPTIONS = {
    "red": "mountain at dawn",
    "blue": "harbour under a blue mountain",
    "green": "dogs in a meadow",
    "white": "harbour in snow",
}


class EnglishToy(ToyEncoder):
    @property
    def bundle(self):
        return replace(super().bundle, languages=("en",))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    root = tmp_path_factory.mktemp("wording")
    with assemble(
        root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES), EnglishToy(), options=OpenOptions(),
        settings=Settings(decoders=1, threads=1),
    ) as engine:  # fmt: skip
        items = [
            SourceItem(
                Source(f"https://example.org/{name}.jpg", caption=caption), "data",
                data=picture(name),
            )
            for name, caption in CAPTIONS.items()
        ]  # fmt: skip
        assert all(one.id for one in engine.add(items))
        yield engine


def captions(result):
    return [hit.record.sources[0].caption for hit in result.hits if hit.why]


def test_a_misspelt_word_is_replaced_and_the_answer_says_so(engine):
    result = engine.search(parse_query("blue Moutain -snow type:photo,clipart"))
    assert result.corrected == "blue mountain -snow type:photo,clipart"
    assert result.query == "blue Moutain -snow type:photo,clipart"
    assert captions(result)[0] == "harbour under a blue mountain"
    assert engine.encoder.texts_encoded


@pytest.mark.parametrize(
    "text",
    [
        'mountain "moutain"', "-moutain red", "fountain", "seaweed", "text:moutain",
        "harbors", "IMG_1234 qzxv",
    ],
)  # fmt: skip
def test_quoted_refused_and_known_words_are_left_alone(engine, text):
    assert engine.search(parse_query(text)).corrected == ""


def test_words_are_searched_as_typed_where_that_is_asked(engine):
    query = parse_query("moutain")
    assert engine.search(query).corrected == "mountain"
    as_typed = engine.search(replace(query, is_as_typed=True))
    assert as_typed.corrected == ""
    assert captions(as_typed) == []


def test_labels_are_meant_though_no_picture_has_them(engine):
    assert engine.search(parse_query("0.5:girafe harbour")).corrected == "0.5:giraffe harbour"


def test_a_correction_may_make_a_condition(engine):
    result = engine.search(parse_query("two graffes"))
    assert result.corrected == "two giraffes"
    assert result.reading == ("giraffe ≥ 2",)


def test_pages_of_a_corrected_query_follow_each_other(engine):
    query = parse_query("moutain", k=1)
    first = engine.search(query)
    second = engine.search(replace(query, cursor=first.next))
    assert second.corrected == first.corrected == "mountain"
    assert first.hits[0].record.id != second.hits[0].record.id


def test_a_query_in_another_language_is_told_and_not_corrected(engine):
    result = engine.search(parse_query("ein Hund auf dem Moutain"))
    assert [one.code for one in result.notices] == ["language"]
    assert "German" in result.notices[0].message
    assert result.corrected == ""
    assert engine.search(parse_query("a dog on the mountain")).notices == ()


def test_a_colour_is_found_by_its_value(engine):
    result = engine.search(parse_query("color:#dc1e1e~12"))
    assert [hit.record.sources[0].caption for hit in result.hits] == [CAPTIONS["red"]]
    others = engine.search(parse_query("-color:#dc1e1e~12,white"))
    assert len(others.hits) == 2
