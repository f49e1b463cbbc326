"""Tuning: what it asks, what it holds for true, which way to search it takes."""

import numpy as np
import pytest

from lookalike.adapters.vectors_build import build_codes
from lookalike.adapters.vectors_cost import Asked, Tuner
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.adapters.vectors_tuning import Costs, Tuning, no_narrower

ROWS, BEGIN = 1200, 30


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    generator = np.random.default_rng(4)
    centres = np.repeat(generator.standard_normal((60, 24)), 20, axis=0)
    rows = centres + 0.4 * generator.standard_normal((ROWS, 24))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    part = SegmentRows(rows.astype(np.float16), BEGIN, np.arange(ROWS) % 10 > 0)
    path = tmp_path_factory.mktemp("codes") / "a.faiss"
    codes = build_codes(part, VectorSettings(rows_per_cell=20), path)
    return Tuner(codes, part, Costs(1.0, 1.0, 1.0))


def asked_from_elsewhere(tuner, count=60):
    rows = np.flatnonzero(tuner.part.live)[:count]
    return Asked(tuner.part.wide(rows), tuner.codes.owners(rows + BEGIN))


def test_a_home_is_as_good_as_empty(tuner):
    asked = asked_from_elsewhere(tuner)
    truth = tuner._truth(asked)
    owners = tuner.codes.owners(truth)
    assert (owners != asked.homes[:, None]).all()
    coded = np.flatnonzero(tuner.part.live)
    cells = tuner.codes.owners(coded + BEGIN)
    for query, home, found in zip(asked.queries, asked.homes, truth, strict=True):
        others = coded[cells != home]
        best = np.sort(tuner.part.wide(others) @ query)[-10:]
        assert np.sort(tuner.part.wide(found - BEGIN) @ query) == pytest.approx(best, abs=1e-5)


def test_a_wide_search_finds_the_truth(tuner):
    for asked in (asked_from_elsewhere(tuner), Asked.of_all(asked_from_elsewhere(tuner).queries)):
        exact, every = tuner._truth(asked), Probing(tuner.codes.cells, 0.5)
        candidates = tuner._candidates(asked, every, ROWS)
        assert all(np.isin(rows, line).all() for rows, line in zip(exact, candidates, strict=True))
        ranks = tuner._ranks(asked, exact, every)
        assert (ranks < ROWS).all()


def test_pictures_from_elsewhere_need_more_cells(tuner):
    asked = asked_from_elsewhere(tuner)
    own, elsewhere = (tuner.tune(one, 0.9) for one in (Asked.of_all(asked.queries), asked))
    assert elsewhere.probes > own.probes
    assert elsewhere.recall >= 0.9
    assert tuner.tune(asked, 1.0).probes == tuner.codes.cells


def test_pictures_are_searched_no_more_narrowly_than_texts():
    image = Tuning(10, 100, 0.99, spread=0.2, effort=15)
    wide = no_narrower(image, Tuning(40, 400, 0.95, spread=0.3, effort=60))
    assert wide == Tuning(40, 400, 0.99, spread=0.2, effort=40)
    assert no_narrower(image, Tuning(5, 50, 0.95)) == image
    assert no_narrower(image, Tuning(40, 400, None)) == image  # nothing was measured
    assert no_narrower(Tuning(10, 100, 0.99), Tuning(40, 50, 0.95)) == Tuning(40, 100, 0.99)
