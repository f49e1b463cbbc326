"""The words under which a picture is found."""

from dataclasses import replace

import pytest

from lookalike.domain.images import (
    DetectedObject,
    ImageFacts,
    ImageId,
    ImageRecord,
    OcrWord,
    Row,
    Source,
)
from lookalike.engine.documents import MOST_TEXT, document_of, path_words

FACTS = ImageFacts(ImageId("0" * 32), 48, 36, 1000, "jpeg")
TOLD = replace(
    FACTS,
    embedded_text="a ship of wood",
    embedded_title="Ship",
    keywords=("harbour", "old boats", "harbour"),
    creator="Ann \udce9",
)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("/disk/ann/Pictures/Lake Como/boats.jpg", "Pictures/Lake Como/boats.jpg"),
        ("/boats.jpg", "boats.jpg"),
        ("boats.jpg", "boats.jpg"),
        ("C:\\Users\\ann\\boats.jpg", "Users/ann/boats.jpg"),
        ("https://example.org/a/b/red%20boat.jpg?size=9#x", "a/b/red boat.jpg"),
        ("https://example.org", ""),
    ],
)
def test_the_last_names_of_a_path_are_words(uri, words):
    assert path_words(uri) == words


def test_each_kind_of_text_has_its_field():
    sources = (
        Source("/a/boat.jpg", caption="a boat", alt_text="boat"),
        Source("/b/ship.jpg", caption="a boat", title="Ship", page_text="about ships"),
    )
    found = DetectedObject("boat", 0.9, (0.0, 0.0, 1.0, 1.0))
    words = tuple(OcrWord(text, 0.9, (0.1, 0.1, 0.2, 0.1)) for text in ("NO", "PARKING"))
    record = ImageRecord(Row(7), FACTS, sources, objects=(found, found), words=words)
    document = document_of(record)
    assert document.row == 7
    assert document.caption == "a boat", "the same caption counts once"
    assert document.alt_text == "boat"
    assert document.title == "Ship"
    assert document.page_text == "about ships"
    assert document.ocr_text == "NO PARKING"
    assert document.labels == "boat vehicle watercraft"
    assert document.path.splitlines() == ["a/boat.jpg", "b/ship.jpg"]


def test_odd_and_endless_text_is_bounded():
    sources = (Source("/a/caf\udce9.jpg", caption="word " * MOST_TEXT),)
    document = document_of(ImageRecord(Row(0), FACTS, sources))
    assert len(document.caption) == MOST_TEXT
    assert document.path.encode("utf-8")


@pytest.mark.parametrize("text", ["\ud83d", "\ud83d\ude00", "\udc00 \udfff"])
def test_half_characters_keep_no_image_from_being_indexed(text):
    record = ImageRecord(Row(1), FACTS, (Source("/a/" + text, title=text, caption=text),))
    document = document_of(record)
    for field in (document.title, document.caption, document.path):
        assert field.encode()


def test_what_the_file_says_of_itself_stands_in_the_same_fields():
    sources = (Source("/a/boat.jpg", caption="a boat", title="Ship"),)
    found = tuple(DetectedObject(label, 0.9, (0, 0, 1, 1)) for label in ("boat", "car", "boat"))
    document = document_of(ImageRecord(Row(7), TOLD, sources, objects=found))
    assert document.caption.splitlines() == ["a boat", "a ship of wood"]
    assert document.title == "Ship"
    assert document.keywords.splitlines() == ["harbour", "old boats"]
    assert document.creator.encode().startswith(b"Ann")
    assert document.labels.split().count("vehicle") == 1
