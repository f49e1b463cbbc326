import copy
import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lookalike.domain.errors import UnknownNameError, UsageError
from lookalike.evaluation.metrics import (
    Metric,
    ann_recall,
    evaluate_run,
    parse_metric,
    score_queries,
)

NAMES = ("recall", "precision", "success", "mrr", "map", "ndcg", "ndcg_linear")
IR = {
    "recall": ir_measures.R,
    "precision": ir_measures.P,
    "success": ir_measures.Success,
    "mrr": ir_measures.RR,
    "map": ir_measures.AP,
    # trec_eval takes grades for gains unless it is told other ones.
    "ndcg": ir_measures.nDCG(gains={1: 1, 2: 3, 3: 7}),
    "ndcg_linear": ir_measures.nDCG,
}
DOCUMENTS = [f"d{i}" for i in range(12)]


@st.composite
def qrels_and_runs(draw):
    queries = draw(st.lists(st.sampled_from(["q1", "q2", "q3"]), min_size=1, unique=True))
    qrels, run = {}, {}
    for query in queries:
        grades = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), max_size=8)
        qrels[query] = draw(grades) | {draw(st.sampled_from(DOCUMENTS)): 1}
        found = draw(st.lists(st.sampled_from(DOCUMENTS), unique=True, max_size=12))
        # No ties: trec_eval breaks them by name, we by the order of the run.
        run[query] = {document: float(-i) for i, document in enumerate(found)}
    return qrels, run


@given(qrels_and_runs(), st.sampled_from(NAMES), st.integers(1, 12))
def test_agrees_with_ir_measures(case, name, k):
    qrels, run = case
    ours = evaluate_run(qrels, run, [Metric(name, k)])[f"{name}@{k}"]
    theirs = ir_measures.calc_aggregate([IR[name] @ k], qrels, run)[IR[name] @ k]
    assert ours == pytest.approx(theirs, abs=1e-6)


@given(qrels_and_runs(), st.sampled_from(NAMES), st.none() | st.integers(1, 20))
def test_stays_in_the_unit_interval_and_changes_nothing(case, name, k):
    qrels, run = case
    before = copy.deepcopy((qrels, run))
    for scores in score_queries(qrels, run, [Metric(name, k)]).values():
        assert all(0.0 <= value <= 1.0 for value in scores.values())
    assert (qrels, run) == before


@given(qrels_and_runs(), st.integers(1, 11))
def test_recall_and_success_rise_with_k(case, k):
    scores = evaluate_run(
        *case, [f"{name}@{cut}" for name in ("recall", "success") for cut in (k, k + 1)]
    )
    assert scores[f"recall@{k}"] <= scores[f"recall@{k + 1}"] + 1e-12
    assert scores[f"success@{k}"] <= scores[f"success@{k + 1}"] + 1e-12


def test_a_ranking_worked_out_by_hand():
    qrels = {"q": {"a": 2, "b": 1, "c": 1, "z": 0}}
    run = {"q": {"x": 0.9, "a": 0.8, "z": 0.7, "b": 0.6}}
    scores = evaluate_run(
        qrels, run, ["recall@3", "precision@4", "mrr", "map", "ndcg@4", "ndcg_linear@4"]
    )
    rest = 1 / math.log2(3) + 1 / math.log2(4)  # of the ideal order, behind its best document
    last = 1 / math.log2(5)
    assert scores == pytest.approx(
        {
            "recall@3": 1 / 3,
            "precision@4": 0.5,
            "mrr": 0.5,
            "map": (1 / 2 + 2 / 4) / 3,
            "ndcg@4": (3 / math.log2(3) + last) / (3 + rest),
            "ndcg_linear@4": (2 / math.log2(3) + last) / (2 + rest),
        }
    )


def test_ties_keep_the_order_of_the_run():
    qrels = {"q": {"a": 1}}
    assert evaluate_run(qrels, {"q": {"a": 1.0, "b": 1.0}}, ["recall@1"]) == {"recall@1": 1.0}
    assert evaluate_run(qrels, {"q": {"b": 1.0, "a": 1.0}}, ["recall@1"]) == {"recall@1": 0.0}


def test_an_unanswered_query_counts_and_one_without_answer_does_not():
    qrels = {"q": {"a": 1}, "unanswered": {"a": 1}, "no answer": {"a": 0}}
    assert evaluate_run(qrels, {"q": {"a": 1.0}}, ["recall@1"]) == {"recall@1": 0.5}


def test_nothing_to_measure_is_an_error():
    with pytest.raises(UsageError, match="no query"):
        evaluate_run({"q": {"a": 0}}, {"q": {"a": 1.0}}, ["map"])


@pytest.mark.parametrize(
    ("text", "metric"),
    [("ndcg@10", Metric("ndcg", 10)), ("map", Metric("map")), (" Recall@1 ", Metric("recall", 1))],
)
def test_the_grammar(text, metric):
    assert parse_metric(text) == metric
    assert parse_metric(str(metric)) == metric


def test_an_unknown_metric_lists_near_ones():
    with pytest.raises(UnknownNameError) as caught:
        parse_metric("ndgc@10")
    assert "ndcg" in caught.value.hint


@pytest.mark.parametrize("text", ["ndcg@", "ndcg@0", "@10", "ndcg@ten", ""])
def test_what_is_no_metric(text):
    with pytest.raises(UsageError):
        parse_metric(text)


SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(5, 9)),
    elements=st.floats(-1, 1, width=32),
).map(lambda a: -np.sort(-a, axis=1))


@given(SCORES, st.integers(1, 5))
def test_ann_recall_of_the_exact_neighbours_is_1(exact, k):
    before = exact.copy()
    assert ann_recall(exact[:, :k], exact, k=k) == 1.0
    np.testing.assert_array_equal(exact, before)


@given(SCORES, SCORES, st.integers(1, 5))
def test_ann_recall_stays_in_the_unit_interval(found, exact, k):
    rows = min(len(found), len(exact))
    assert 0.0 <= ann_recall(found[:rows, :k], exact[:rows], k=k) <= 1.0


def test_ann_recall_counts_either_of_two_ties():
    exact = np.array([[0.9, 0.5, 0.5, 0.1]])
    assert ann_recall(np.array([[0.9, 0.5]]), exact, k=2) == 1.0
    assert ann_recall(np.array([[0.9, 0.1]]), exact, k=2) == 0.5
    assert ann_recall(np.array([[0.9, -np.inf]]), exact, k=2) == 0.5


def test_ann_recall_asks_for_no_more_than_there_is():
    exact = np.array([[0.9, -np.inf, -np.inf]])
    assert ann_recall(np.array([[0.9, -np.inf]]), exact, k=2) == 1.0


def test_ann_recall_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="cannot be told"):
        ann_recall(np.ones((2, 3)), np.ones((1, 3)), k=3)
    with pytest.raises(ValueError, match="at least one"):
        ann_recall(np.ones((0, 3)), np.ones((0, 3)), k=3)
