"""The catalog as a machine, step by step against dicts."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.domain.images import ImageFacts, Row, Source, image_id
from lookalike.domain.reasons import BLOCKED
from lookalike.ports.catalog import Batch, Failure, NewImage

NAMES = st.sampled_from("abcde")
URIS = st.sampled_from(["/1", "/2", "/3", "/dir/4", "/dir/\udcff"])
SITES = st.sampled_from(["", "org", "example.org", "www.example.org"])
WORDS = st.sampled_from(["", "one", "two"])
TIMES = st.integers(1, 9).map(float)


def key(name):
    return image_id(name.encode())


class Model:
    """What the catalog should hold, said as simply as it can be."""

    def __init__(self):
        self.rows = 0
        self.row_of, self.spans, self.sources = {}, {}, {}  # sources: uri -> (id, Source)
        self.failures, self.blocked, self.removed = {}, set(), set()

    def commit(self, images, sources, failures, vanished, rows):
        first, self.rows = self.rows, rows
        for image, row in images:
            if image not in self.blocked and image not in self.row_of:
                self.row_of[image] = row
                self.spans[image] = None
        for image, source in sources:
            self.see(image, source)
        for uri, reason in failures:
            self.fail(uri, reason)
        for uri in vanished:
            self.failures.pop(uri, None)
            if uri in self.sources:
                image, source = self.sources[uri]
                self.sources[uri] = (image, replace(source, is_vanished=True))
        self.removed |= set(range(first, rows)) - set(self.row_of.values())

    def see(self, image, source):
        uri = source.uri
        old_image, old = self.sources.get(uri, (None, None))
        if old is not None and old_image != image:
            self.drop(uri)
            old = None
        if image not in self.row_of:
            if image in self.blocked:
                self.fail(uri, BLOCKED)
            return
        self.failures.pop(uri, None)
        if old is not None:
            source = replace(
                source, caption=source.caption or old.caption, site=source.site or old.site
            )
        self.sources[uri] = (image, source)
        low, high = self.spans[image] or (source.seen, source.seen)
        self.spans[image] = (min(low, source.seen), max(high, source.seen))

    def fail(self, uri, reason):
        if uri in self.sources:
            self.drop(uri)
        self.failures.pop(uri, None)
        self.failures[uri] = reason

    def drop(self, uri):
        image, _ = self.sources.pop(uri)
        if image not in {other for other, _ in self.sources.values()}:
            self.remove(image)

    def remove(self, image):
        self.removed.add(self.row_of.pop(image))
        self.spans.pop(image)
        self.sources = {uri: s for uri, s in self.sources.items() if s[0] != image}


class CatalogMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.make()
        self.model = Model()
        self.derived, self.seq = {}, 0  # what a store that only replays the log holds
        self.catalog = self.open()

    def make(self):
        self.folder = Path(tempfile.mkdtemp())

    def open(self):
        return SqliteCatalog.open(
            self.folder / "catalog.sqlite", is_writer=True, clock=lambda: 100.0
        )

    def drop(self):
        shutil.rmtree(self.folder)

    def teardown(self):
        self.catalog.close()
        self.drop()

    @rule(
        names=st.lists(NAMES, max_size=3),
        seen=st.lists(st.tuples(NAMES, URIS, SITES, WORDS, TIMES), max_size=4),
        failed=st.lists(st.tuples(URIS, WORDS), max_size=2),
        vanished=st.lists(URIS, max_size=2),
        holes=st.integers(0, 2),
    )
    def commit(self, names, seen, failed, vanished, holes):
        first = self.model.rows + holes
        images = [(key(name), first + at) for at, name in enumerate(names)]
        # An image without any source has no place in the model: give each its own.
        sources = [(key(name), Source(f"/{name}", seen=5.0)) for name in names] + [
            (key(name), Source(uri, site=site, caption=word, seen=at))
            for name, uri, site, word, at in seen
        ]
        rows = first + len(names)
        self.catalog.commit(
            Batch(
                [NewImage(Row(row), ImageFacts(image, 1, 2, 3, "png")) for image, row in images],
                sources,
                [Failure(uri, word, seen=1.0) for uri, word in failed],
                vanished,
                rows=rows,
            )
        )
        self.model.commit(images, sources, failed, vanished, rows)

    @rule(names=st.lists(NAMES, max_size=2), is_blocked=st.booleans())
    def remove(self, names, is_blocked):
        ids = [key(name) for name in dict.fromkeys(names)]
        expected = [self.model.row_of[image] for image in ids if image in self.model.row_of]
        assert list(self.catalog.remove(ids, is_blocked=is_blocked)) == expected
        for image in ids:
            if is_blocked:
                self.model.blocked.add(image)
            if image in self.model.row_of:
                self.model.remove(image)

    @rule()
    def reopen(self):
        self.catalog.close()
        self.catalog = self.open()

    @invariant()
    def counts_agree(self):
        state, model = self.catalog.state(), self.model
        alive = [source for _, source in model.sources.values() if not source.is_vanished]
        assert state.rows == model.rows == state.images + state.removed
        assert state.images == len(model.row_of)
        assert state.sources == len(alive)
        assert state.failures == len(model.failures)
        assert list(self.catalog.removed_rows()) == sorted(model.removed)

    @invariant()
    def records_agree(self):
        found = {record.id: record for record in self.catalog.all_records()}
        assert {image: record.row for image, record in found.items()} == self.model.row_of
        assert self.catalog.rows_of([key(name) for name in "abcde"]) == self.model.row_of
        for image, record in found.items():
            expected = [source for owner, source in self.model.sources.values() if owner == image]
            assert sorted(record.sources, key=lambda s: s.uri) == sorted(
                expected, key=lambda s: s.uri
            )
            assert (record.first_seen, record.last_seen) == self.model.spans[image]

    @invariant()
    def uris_agree(self):
        model = self.model
        known = {uri for uri, (_, source) in model.sources.items() if not source.is_vanished}
        for prefix in ("", "/dir/"):
            expected = {uri for uri in known | set(model.failures) if uri.startswith(prefix)}
            assert list(self.catalog.uris_under(prefix)) == sorted(expected)
        states = self.catalog.source_states([*model.sources, *model.failures, "/unknown"])
        assert {uri: (state.image, state.reason) for uri, state in states.items()} == {
            **{uri: (image, "") for uri, (image, _) in model.sources.items()},
            **{uri: (None, reason) for uri, reason in model.failures.items()},
        }
        assert [failure.uri for failure in self.catalog.failures()] == [*model.failures][::-1]

    @invariant()
    def sites_agree(self):
        for site in ("org", "example.org"):
            expected = {
                image
                for image, source in self.model.sources.values()
                if source.site == site or source.site.endswith("." + site)
            }
            assert set(self.catalog.ids_of_site(site)) == expected

    @invariant()
    def the_log_is_enough(self):
        changes = self.catalog.changes(after=self.seq)
        assert all(change.seq > self.seq for change in changes)
        for row in {change.row for change in changes}:
            (record,) = self.catalog.records([row])
            if record is None:
                self.derived.pop(row, None)
            else:
                self.derived[row] = self.said(record)
        self.seq = changes[-1].seq if changes else self.seq
        assert self.seq == self.catalog.state().seq
        assert self.derived == {r.row: self.said(r) for r in self.catalog.all_records()}

    @staticmethod
    def said(record):
        """Everything that a derived store may hold: not when it was last seen."""
        sources = [replace(source, seen=0.0) for source in record.sources]
        return record.id, sources, record.first_seen


CatalogMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=15)
TestCatalogMachine = CatalogMachine.TestCase
