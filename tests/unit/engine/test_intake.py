"""What of a source needs work, and what became of each item."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain import reasons
from lookalike.domain.bundle import Preprocess
from lookalike.domain.errors import FetchError
from lookalike.domain.images import Source, image_id
from lookalike.engine.decode_worker import answer
from lookalike.engine.intake import Intake, IntakeTools, SeenUris
from lookalike.imaging.decode import DecodeLimits
from lookalike.imaging.examine import ExaminePlan
from lookalike.ports.catalog import SourceState
from lookalike.ports.source import SourceItem, error_item
from lookalike.telemetry.stages import StageTimer
from tests.toy import picture

PLAN = ExaminePlan(preprocess=Preprocess(16), limits=DecodeLimits())
RED = picture("red")


@dataclass
class Known:
    """As much of a catalog as intake asks: the states of sources."""

    states: dict = field(default_factory=dict)

    def source_states(self, uris):
        return {uri: self.states[uri] for uri in uris if uri in self.states}


class InThisProcess:
    """Implements the pool's `map` without processes."""

    def map(self, items):
        for tag, job in items:
            yield tag, answer(job) if job is not None else None


class Web:
    """A fetcher that knows one picture."""

    def fetch(self, url):
        if url.endswith("red.jpg"):
            return RED
        raise FetchError(reasons.FETCH_FAILED, "404")


@dataclass
class Given:
    """A source of the items at hand."""

    given: list

    def items(self):
        return iter(self.given)


def judge(*items, known=(), seen=None, **options):
    catalog = Known({state.uri: state for state in known})
    tools = IntakeTools(catalog, InThisProcess(), PLAN, options.pop("fetcher", None), **options)
    return list(Intake(tools, StageTimer()).judge(Given(list(items)), seen))


def data_item(uri, data=RED, fingerprint="f"):
    return SourceItem(Source(uri, fingerprint=fingerprint), "data", data=data)


def test_every_item_is_judged_in_its_order():
    judged = judge(
        data_item("/a"), data_item("/b", b"words"), error_item("/c", reasons.BAD_RECORD, "odd"),
        data_item("/d", picture("blue")),
    )  # fmt: skip
    assert [one.source.uri for one in judged] == ["/a", "/b", "/c", "/d"]
    assert [one.verdict for one in judged] == ["examined", "failed", "failed", "examined"]
    assert judged[0].facts.id == image_id(RED)
    assert judged[0].view.pixels.shape == (16, 16, 3)
    assert judged[0].thumbnail
    assert judged[1].error[0] == reasons.NOT_AN_IMAGE
    assert judged[2].error == (reasons.BAD_RECORD, "odd")


def test_what_is_unchanged_needs_no_work():
    known = [
        SourceState("/a", "f", image_id(RED)),
        SourceState("/b", "f", None, reasons.TRUNCATED),
        SourceState("/c", "older", image_id(RED)),
        SourceState("/d", "f", None, reasons.UNREADABLE),
    ]
    items = [data_item(uri) for uri in ("/a", "/b", "/c", "/d")]
    judged = judge(*items, known=known)
    assert [one.verdict for one in judged] == ["known", "failed", "examined", "examined"]
    assert judged[1].is_old_failure
    assert judged[1].error[0] == reasons.TRUNCATED
    forced = judge(*items, known=known, is_forced=True)
    assert {one.verdict for one in forced} == {"examined"}


def test_urls_are_fetched_and_their_failures_named():
    urls = [f"https://example.org/{name}.jpg" for name in ("red", "gone")]
    items = [SourceItem(Source(url), "url", url=url) for url in urls]
    fetched, gone = judge(*items, fetcher=Web())
    assert fetched.facts.id == image_id(RED)
    assert gone.error == (reasons.FETCH_FAILED, "404")
    assert {one.error[0] for one in judge(*items)} == {reasons.FETCH_FAILED}


def test_a_ready_vector_stands_without_its_picture():
    vector = np.full((1, 4), 0.5, np.float32)
    item = SourceItem(Source("/a.jpg"), "vector", vector=vector, width=640, height=480)
    [judged] = judge(item)
    assert judged.verdict == "examined"
    assert (judged.facts.width, judged.facts.height) == (640, 480)
    assert judged.view.vector.shape == (4,)
    [again] = judge(item)
    assert again.facts.id == judged.facts.id


def test_the_runs_licence_fills_only_gaps():
    stated = SourceItem(Source("/a", licence="cc-by-4.0"), "data", data=RED)
    judged = judge(stated, data_item("/b"), licence="cc0")
    assert [one.source.licence for one in judged] == ["cc-by-4.0", "cc0"]


@given(st.lists(st.text(min_size=1)), st.text(min_size=1))
def test_seen_uris_are_remembered(uris, other):
    seen = SeenUris()
    for uri in uris:
        seen.add(uri)
    assert all(seen.has(uri) for uri in uris)
    assert seen.has(other) == (other in uris)


@pytest.mark.parametrize(
    ("unlisted", "below"), [("/a/b/", "/a/b/c.jpg"), ("/a.tar", "/a.tar#c.jpg")]
)
def test_what_could_not_be_listed_speaks_for_what_is_below(unlisted, below):
    seen = SeenUris()
    seen.add(unlisted, is_unlisted=True)
    assert seen.has(below)
    assert not seen.has("/elsewhere/c.jpg")
