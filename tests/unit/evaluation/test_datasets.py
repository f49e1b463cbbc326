import json

import pytest

from lookalike.domain.errors import SourceError, UnknownNameError
from lookalike.evaluation.datasets import load_dataset

ROWS = [
    {"file": "images/a.jpg", "captions": ["a dog", "a brown dog"], "split": "dev", "label": "dog"},
    {"file": "images/b.jpg", "captions": ["a cat"], "split": "test", "year": "1906"},
    {
        "file": "images/c.jpg",
        "split": "dev",
        "boxes": [{"label": "car", "box": [0.1, 0.2, 0.3, 0.4]}],
        "boxes_from": "someone",
    },
]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, *map(json.dumps, ROWS))
    return tmp_path


def write(folder, *lines):
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")


def test_reads_every_field(folder):
    first, second, third = load_dataset(folder).images
    assert (first.file, first.path) == ("images/a.jpg", folder / "images/a.jpg")
    assert (first.captions, first.label) == (("a dog", "a brown dog"), "dog")
    assert second.extra == {"year": "1906"}
    assert third.boxes[0].box == (0.1, 0.2, 0.3, 0.4)
    assert third.labels == {"car"}
    assert third.is_fully_annotated
    assert not first.is_fully_annotated


def test_takes_one_split_and_the_first_images(folder):
    assert [i.file for i in load_dataset(folder, split="dev").images] == [
        "images/a.jpg",
        "images/c.jpg",
    ]
    assert len(load_dataset(folder, limit=1).images) == 1


def test_qrels_of_captions_and_classes(folder):
    dataset = load_dataset(folder)
    assert dataset.captions["images/a.jpg#1"] == "a brown dog"
    assert dataset.caption_qrels()["images/b.jpg#0"] == {"images/b.jpg": 1}
    assert dataset.image_qrels() == {
        "images/a.jpg": {"images/a.jpg#0": 1, "images/a.jpg#1": 1},
        "images/b.jpg": {"images/b.jpg#0": 1},
    }
    assert dataset.class_qrels() == {"dog": {"images/a.jpg": 1}, "car": {"images/c.jpg": 1}}


def test_an_unknown_split_names_the_known_ones(folder):
    with pytest.raises(UnknownNameError) as caught:
        load_dataset(folder, split="tset")
    assert "test" in caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"captions": []}',
        '{"file": "../outside.jpg"}',
        '{"file": "images/a.jpg", "boxes": [{"label": "dog", "box": [1, 2]}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path, line):
    write(tmp_path, '{"file": "images/a.jpg"}', line)
    with pytest.raises(SourceError, match=r"labels\.jsonl:2"):
        load_dataset(tmp_path)


def test_no_dataset_and_an_empty_one(tmp_path):
    with pytest.raises(SourceError, match="there is no"):
        load_dataset(tmp_path)
    write(tmp_path)
    with pytest.raises(SourceError, match="no lines"):
        load_dataset(tmp_path)
