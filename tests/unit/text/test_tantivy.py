"""What is Tantivy's own: damage, locks, failed writes, settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tantivy

from lookalike.adapters.text_errors import store_errors
from lookalike.adapters.text_schema import TextIndexSettings
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexLockedError,
    IndexMissingError,
    StoreError,
    UnknownNameError,
)
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    index = TantivyTextIndex.open(folder, is_writer=True)
    index.add([TextDocument(row, caption="dog") for row in range(5)])
    index.commit(5)
    index.close()
    return folder


@pytest.mark.parametrize("how", ["truncated", "gone"])
@pytest.mark.parametrize(
    "pattern", ["meta.json", "*.term", "*.idx", "*.fast", "*.fieldnorm", "*.pos"]
)
def test_a_damaged_index_is_refused_and_can_be_wiped(folder: Path, pattern: str, how: str) -> None:
    for path in folder.glob(pattern):
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(IndexCorruptError) as error:
        TantivyTextIndex.open(folder, is_writer=True)
    assert "built again" in error.value.hint
    TantivyTextIndex.wipe(folder)
    index = TantivyTextIndex.open(folder, is_writer=True)
    assert (index.seq, len(index)) == (0, 0)
    index.close()


def test_an_index_of_another_analysis_is_refused(folder: Path) -> None:
    meta = folder / "meta.json"
    meta.write_text(meta.read_text().replace("lookalike_exact_1", "lookalike_exact_0"))
    with pytest.raises(IndexCorruptError):
        TantivyTextIndex.open(folder, is_writer=True)


def test_a_reader_needs_an_index(tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError):
        TantivyTextIndex.open(tmp_path / "none", is_writer=False)
    TantivyTextIndex.wipe(tmp_path / "none")


def test_one_writer_at_a_time(folder: Path) -> None:
    first = TantivyTextIndex.open(folder, is_writer=True)
    second = TantivyTextIndex.open(folder, is_writer=True)
    first.add([TextDocument(9, caption="cat")])
    with pytest.raises(IndexLockedError):
        second.add([TextDocument(10, caption="cat")])
    first.commit(6)
    first.close()
    second.refresh()
    second.add([TextDocument(10, caption="cat")])
    second.commit(7)
    assert (len(second), second.seq) == (7, 7)
    second.close()


def test_after_a_failed_write_the_seq_cannot_run_ahead(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = TantivyTextIndex.open(folder, is_writer=True)

    def fail(document: TextDocument, _: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lookalike.adapters.text_tantivy.build_document", fail)
        with pytest.raises(DiskFullError):
            index.add([TextDocument(9, caption="cat")])
    with pytest.raises(StoreError):
        index.commit(6)
    with pytest.raises(StoreError):
        index.add([TextDocument(10, caption="cat")])
    assert index.seq == 5
    index.refresh()
    index.add([TextDocument(9, caption="cat")])
    index.commit(6)
    assert (len(index), index.seq) == (6, 6)
    index.close()


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("IoError: No space left on device (os error 28)", DiskFullError),
        ("Failed to acquire Lockfile: LockBusy.", IndexLockedError),
        ("Data corrupted: bad", IndexCorruptError),
        ("something else", StoreError),
    ],
)
def test_failures_become_our_errors(tmp_path: Path, message: str, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError) as error, store_errors(tmp_path):
        raise ValueError(message)
    assert type(error.value) is kind


@pytest.mark.parametrize("row", [-1, 2**63])
def test_rows_are_rows(folder: Path, row: int) -> None:
    index = TantivyTextIndex.open(folder, is_writer=True)
    with pytest.raises(StoreError):
        index.add([TextDocument(row)])
    index.close()


def test_optimize_wants_a_commit_first(folder: Path) -> None:
    index = TantivyTextIndex.open(folder, is_writer=True)
    index.remove(np.array([1]))
    with pytest.raises(StoreError):
        index.optimize()
    index.close()


def test_weights_and_known_words_are_settings(folder: Path) -> None:
    settings = TextIndexSettings(weights={"caption": 0.0}, known_words=frozenset({"dogg"}))
    index = TantivyTextIndex.open(folder, is_writer=False, settings=settings)
    assert index.search(TextMatch(words="dog"), k=1).rows.tolist() == [[-1]]
    index.close()
    with pytest.raises(UnknownNameError):
        TantivyTextIndex.open(
            folder, is_writer=False, settings=TextIndexSettings(weights={"captoin": 1.0})
        )


def test_the_same_seq_with_nothing_new_writes_nothing(folder: Path) -> None:
    index = TantivyTextIndex.open(folder, is_writer=True)
    before = json.loads((folder / "meta.json").read_text())
    index.commit(5)
    assert json.loads((folder / "meta.json").read_text()) == before
    index.close()


def test_an_index_of_older_fields_is_refused_so_that_it_is_built_again(tmp_path: Path) -> None:
    schema = tantivy.SchemaBuilder()
    schema.add_unsigned_field("row", indexed=True, fast=True)
    schema.add_text_field("caption", tokenizer_name="lookalike_exact_1", index_option="position")
    tantivy.Index(schema.build(), str(tmp_path)).reload()
    with pytest.raises(IndexCorruptError) as error:
        TantivyTextIndex.open(tmp_path, is_writer=True)
    assert "built again" in error.value.hint
