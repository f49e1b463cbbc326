"""The pure parts of what bench/ann.py measures with."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(autouse=True)
def beside_the_programs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def test_costs_are_found_again():
    from ann_fit import Seen, predict, solve

    true = {"scan.call": 30.0, "scan.code": 0.02, "scan.cell": 0.8}
    generator = np.random.default_rng(1)
    terms = [
        {"scan.call": 1, "scan.code": float(codes), "scan.cell": float(cells)}
        for codes, cells in generator.integers(1, 5000, (40, 2))
    ]
    found = solve([Seen(one, predict(true, one)) for one in terms])
    assert found == pytest.approx(true)


def test_no_cost_is_below_nothing():
    from ann_fit import Seen, solve

    seen = [Seen({"a": n, "b": n % 3}, 10.0 * n - (n % 3)) for n in range(1, 30)]
    assert solve(seen).get("b", 0.0) == 0.0
    assert solve(seen)["a"] > 9


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 1)), min_size=1))
def test_nothing_cheaper_is_as_good_as_the_frontier(points):
    from ann_plots import frontier

    kept = frontier(points)
    assert kept == sorted(kept)
    for cost, recall in points:
        assert any(c <= cost and r >= recall for c, r in kept)


def test_drawn_vectors_are_of_unit_length_and_near_real_ones():
    from ann_growth import Space, unit

    generator = np.random.default_rng(2)
    centres = unit(generator.standard_normal((20, 32)))
    real = unit(np.repeat(centres, 10, axis=0) + 0.05 * generator.standard_normal((200, 32)))
    space = Space(real, {}, real[:0])
    drawn = np.concatenate(list(space.blocks(500)))
    assert np.array_equal(drawn[:200], real)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(500), abs=1e-5)
    new = drawn[200:]
    assert np.median((new @ real.T).max(axis=1)) > 0.7
    assert np.array_equal(new, np.concatenate(list(space.blocks(500)))[200:])


def test_stock_faiss_gets_four_times_the_root():
    from ann_engines import stock_cells

    assert [stock_cells(n) for n in (10_000, 100_000, 1_000_000)] == [512, 1024, 4096]
