"""The order of writes: what a commit states is on the disk, and what is derived follows it."""

import numpy as np
import pytest

from lookalike.adapters.source_folder import FolderSource
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.errors import DiskFullError, StoreError
from lookalike.domain.images import ImageFacts, Source, image_id
from lookalike.engine.stores import Stores
from lookalike.engine.writer import PreparedImage, WriteBatch, Writer
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.toy import DIM, ToyEncoder, fill_folder


class Told:
    """A store that tells a log of each call; one of them may fail."""

    def __init__(self, name, store, log, failing=()):
        self._name, self._store, self._log, self._failing = name, store, log, failing

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            step = f"{self._name}.{name}"
            self._log.append(step)
            if step in self._failing:
                raise DiskFullError("no space is left")
            return found(*args, **kwargs)

        return call

    def __len__(self):
        return len(self._store)


@pytest.fixture
def engine(tmp_path):
    root = tmp_path / "index"
    root.mkdir()
    write_manifest(root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES))
    settings = Settings(decoders=1, threads=1)
    with assemble(
        root, read_manifest(root), ToyEncoder(), options=OpenOptions(), settings=settings
    ) as engine:
        yield engine


def writer_of(engine, log, failing=()):
    stores, release = engine._parts.open_writer(0.0)
    names = ("catalog", "filters", "texts", "vectors", "regions", "blobs")
    told = {name: Told(name, getattr(stores, name), log, failing) for name in names}
    return Writer(
        Stores(**told, space="toy"), models={}, clock=lambda: 1000.0,
        on_close=lambda: (log.append("release"), release()),
    )  # fmt: skip


def batch_of(*names):
    images = []
    for number, name in enumerate(names):
        vector = np.zeros(DIM, np.float32)
        vector[number] = 1.0
        facts = ImageFacts(image_id(name.encode()), 10, 10, 10, "png")
        images.append(PreparedImage(facts, Source(f"/{name}"), vector, b"thumbnail"))
    return WriteBatch(images=images)


def test_a_commit_states_only_what_is_durable(engine):
    log = []
    writer = writer_of(engine, log)
    del log[:]
    writer.write(batch_of("a", "b"))
    at = {step: log.index(step) for step in log}
    commit = at["catalog.commit"]
    for before in ("vectors.add", "filters.append", "blobs.put_many"):
        assert at[before] < commit
    assert at["vectors.add"] < at["vectors.flush"] < commit
    assert at["filters.append"] < at["filters.flush"] < commit
    assert not any(step.startswith("texts.") for step in log[:commit])
    assert "texts.commit" not in log, "words follow within half a second, not at once"
    writer.flush()
    assert "texts.commit" in log
    writer.close()
    assert log[-1] == "release"


@pytest.mark.parametrize(
    "step", ["vectors.add", "vectors.flush", "filters.flush", "blobs.put_many"]
)
def test_what_fails_before_the_commit_is_not_stated(engine, step):
    log = []
    writer = writer_of(engine, log, failing=(step,))
    with pytest.raises(DiskFullError):
        writer.write(batch_of("a"))
    writer.close()
    assert "catalog.commit" not in log
    assert log[-1] == "release"
    assert len(engine) == 0
    writer = writer_of(engine, [])
    writer.write(batch_of("a", "b"))
    writer.close()
    assert len(engine) == 2


@pytest.mark.parametrize("step", ["texts.commit", "filters.save", "vectors.close"])
def test_the_lock_is_given_back_whatever_fails_at_the_end(engine, step):
    log = []
    writer = writer_of(engine, log, failing=(step,))
    writer.write(batch_of("a"))
    with pytest.raises(DiskFullError):
        writer.close()
    assert log[-1] == "release"
    assert engine.remove([image_id(b"a")]) == 1


def test_a_writer_that_cannot_be_opened_keeps_no_lock(engine, tmp_path, monkeypatch):
    fill_folder(tmp_path / "pictures", 3)
    source = FolderSource(tmp_path / "pictures")

    def commit(_self, _seq):
        raise StoreError("words cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(TantivyTextIndex, "commit", commit)
        for _ in range(2):
            with pytest.raises(StoreError, match="words cannot be written"):
                engine.index([source])
    report = engine.index([source])
    assert report.added + report.known == len(engine) == 3


def test_an_empty_batch_is_nothing():
    assert not WriteBatch()
    assert WriteBatch(forgotten=("/a",))
