"""Names of objects: labels, other words, plurals, super-classes, counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import FilterError
from lookalike.domain.images import DetectedObject
from lookalike.domain.objects import (
    classes_of,
    coco_labels,
    counts_of,
    known_words,
    name_of,
    plural_of,
    resolve_label,
    super_classes,
    words_for,
)


def objects(*labels: str) -> tuple[DetectedObject, ...]:
    return tuple(DetectedObject(label, 0.9, (0.0, 0.0, 1.0, 1.0)) for label in labels)


def test_there_are_coco_s_eighty_labels_and_each_stands_for_itself() -> None:
    labels = coco_labels()
    assert len(set(labels)) == 80
    assert (labels[0], labels[16], labels[79]) == ("person", "dog", "toothbrush")
    for label in labels:
        assert resolve_label(label) == resolve_label(label.upper().replace(" ", "_")) == label
        assert resolve_label(plural_of(label)) == label
    for name, members in super_classes().items():
        assert name not in labels
        assert set(members) <= set(labels)
        assert resolve_label(name) == resolve_label(plural_of(name)) == name


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("kitty", "cat"),
        ("Kittens", "cat"),
        ("puppies", "dog"),
        ("automobile", "car"),
        ("bikes", "bicycle"),
        ("motorbikes", "motorcycle"),
        ("sofa", "couch"),
        ("televisions", "tv"),
        ("mobile phones", "cell phone"),
        ("cellphone", "cell phone"),
        ("people", "person"),
        ("persons", "person"),
        ("women", "person"),
        ("children", "person"),
        ("knives", "knife"),
        ("buses", "bus"),
        ("mice", "mouse"),
        ("sheep", "sheep"),
        ("wine-glasses", "wine glass"),
        ("pairs of scissors", "scissors"),
        ("animals", "animal"),
        ("pet", "pet"),
        ("pieces of fruit", "fruit"),
        ("luggage", "bag"),
    ],
)
def test_other_words_and_plurals(words: str, label: str) -> None:
    assert resolve_label(words) == label


def test_an_unknown_name_is_an_error_with_the_nearest_ones() -> None:
    with pytest.raises(FilterError) as error:
        resolve_label("girafe")
    assert "'girafe'" in error.value.message
    assert "did you mean giraffe" in error.value.hint
    with pytest.raises(FilterError):
        resolve_label("")


def test_labels_of_another_detector_come_first() -> None:
    known = ("Penguin", "sofa", "man")
    assert resolve_label("penguins", known) == "penguin"
    assert resolve_label("sofa", known) == "sofa"
    assert resolve_label("man", known) == "man"
    assert resolve_label("woman", known) == "person"


def test_numbers_of_names() -> None:
    one, many, both = name_of("dog"), name_of("dogs"), name_of("sheep")
    assert one is not None
    assert many is not None
    assert both is not None
    assert (one.is_singular, one.is_plural) == (True, False)
    assert (many.is_singular, many.is_plural) == (False, True)
    assert (both.is_singular, both.is_plural) == (True, True)
    assert name_of("beach") is None
    puppy = name_of("puppy")
    assert puppy is not None
    assert puppy.is_narrow


def test_counts_are_of_labels_and_of_what_they_belong_to() -> None:
    counts = counts_of(objects("cat", "dog", "dog", "Penguin", "sofa"))
    assert counts["dog"] == 2
    assert counts["animal"] == counts["pet"] == 3
    assert counts["penguin"] == counts["sofa"] == counts["couch"] == counts["furniture"] == 1
    assert "person" not in counts
    assert not counts_of(())


@given(st.lists(st.sampled_from(coco_labels()), max_size=12))
def test_a_class_counts_as_often_as_its_labels(labels: list[str]) -> None:
    counts = counts_of(objects(*labels))
    for name, members in super_classes().items():
        assert counts.get(name, 0) == sum(label in members for label in labels)
    for label in labels:
        assert counts[label] == labels.count(label)


@given(st.text(max_size=20))
def test_any_label_can_be_counted_and_found(label: str) -> None:
    assert counts_of(objects(label, label))[classes_of(label)[0]] == 2
    assert words_for(label)[0] == classes_of(label)[0]


def test_words_for_the_text_index_say_no_more_than_the_label() -> None:
    words = words_for("couch")
    assert {"couch", "sofa", "furniture"} <= set(words)
    assert "loveseat" not in words
    assert "woman" not in words_for("person")
    assert words_for("penguin") == ("penguin",)


def test_words_of_names_are_known_words() -> None:
    assert {"zebras", "hot", "dogs", "puppies", "vehicles"} <= known_words()
