import json
import math
import sys

import numpy as np
import pytest
from PIL import Image

from lookalike.domain.errors import MissingExtraError, UsageError
from lookalike.evaluation.outcomes import Measured, Measuring, require_tasks, with_comparison
from lookalike.evaluation.per_query import read_scores, write_per_query
from lookalike.evaluation.plots import check_plot, write_plot
from lookalike.evaluation.reports import Machine, Report, write_report
from lookalike.evaluation.scoring import (
    Task,
    changed_table,
    compare,
    comparison_table,
    cut_run,
    evaluate,
    metric_names,
    query_table,
    summary_table,
)
from lookalike.evaluation.trec import write_run

QRELS = {
    "q1": {"a": 3, "b": 1, "c": 0},
    "q2": {"d": 1},
    "q3": {"e": 0},
    "q4": {"f": 2},
}
RUN = {"q1": {"a": 3.0, "x": 2.0, "b": 1.0}, "q2": {"y": 1.0, "d": 0.5}, "q5": {"a": 1.0}}
OTHER = {"q1": {"a": 3.0, "x": 2.0, "b": 1.0}, "q2": {"d": 1.0}, "q4": {"z": 2.0, "f": 1.0}}
TASK = Task("queries", QRELS, {"q1": "cats", "q2": "dogs"})
METRICS = metric_names((1, 2))


@pytest.fixture
def ours():
    return evaluate(TASK, RUN, METRICS, configuration="ours")


@pytest.fixture
def theirs():
    return evaluate(TASK, OTHER, METRICS, configuration="theirs")


def measured(evaluation, run=RUN, **more):
    report = Report(
        name="test", date="2026-01-02", commit="abc", seed=0,
        machine=Machine("cpu", 1, 1, "Linux", "3.11"), metrics=evaluation.means,
        tables={"queries": summary_table(evaluation), "by query": query_table([evaluation])},
        settings={"configuration": evaluation.scores.configuration},
    )  # fmt: skip
    return Measured(report, (evaluation,), run, **more)


def test_what_is_measured():
    assert metric_names((10, 1, 10)) == (
        "recall@1", "recall@10", "precision@1", "precision@10", "ndcg@10", "mrr", "map",
    )  # fmt: skip


def test_scores_by_query_worked_out_by_hand(ours):
    assert ours.scores.queries == ("q1", "q2", "q4")  # nothing is relevant to q3
    ndcg = (7 + 1 / math.log2(4)) / (7 + 1 / math.log2(3))
    np.testing.assert_allclose(
        ours.scores.values,
        [
            [1 / 2, 1 / 2, 1, 1 / 2, ndcg, 1, (1 + 2 / 3) / 2],
            [0, 1, 0, 1 / 2, 1 / math.log2(3), 1 / 2, 1 / 2],
            [0, 0, 0, 0, 0, 0, 0],
        ],
    )
    assert (ours.relevant, ours.answered, ours.unjudged) == ((2, 1, 1), (3, 2, 0), (1, 1, 0))
    assert ours.unjudged_share == 2 / 5
    assert ours.means["recall@2"] == pytest.approx(0.5)


def test_where_judgements_are_complete_none_is_missing():
    task = Task("words", QRELS, is_complete=True)
    one = evaluate(task, RUN, METRICS, configuration="ours")
    assert one.unjudged == (None, None, None)
    assert one.unjudged_share is None


@pytest.mark.parametrize("run", [{}, {"q9": {"a": 1.0}}, {"q1": {}}, {"q3": {"e": 1.0}}])
def test_a_run_that_answers_no_judged_query_is_refused(run):
    with pytest.raises(UsageError, match="answers no query"):
        evaluate(TASK, run, METRICS, configuration="ours")


def test_a_run_is_cut_to_its_best():
    assert cut_run({"q": {"a": 1.0, "b": 3.0, "c": 2.0}}, 2) == {"q": {"b": 3.0, "c": 2.0}}
    assert cut_run(RUN, None) is RUN


def test_the_worst_come_first(ours):
    rows = query_table([ours], worst=2).rows
    assert [row[1] for row in rows] == ["q4", "q2"]
    assert rows[1][:6] == ("queries", "q2", "dogs", 1, 2, 1)


def test_a_comparison_worked_out_by_hand(ours, theirs):
    comparison = compare(ours.scores, theirs.scores)
    by_name = dict(zip(comparison.names, comparison.differences, strict=True))
    mrr = by_name["mrr"]  # 0, -1/2 and -1/2: half of the assignments of two signs reach their sum
    assert (mrr.mean, mrr.p) == (pytest.approx(-1 / 3), 0.5)
    assert (mrr.wins, mrr.ties, mrr.losses) == (0, 1, 2)
    assert mrr.low <= mrr.mean <= mrr.high <= 0.0
    table = comparison_table(comparison)
    assert table.columns[1:3] == ("ours", "theirs")
    assert dict(zip(table.columns, table.rows[0], strict=True))["difference"] == pytest.approx(
        -1 / 3
    )
    changed = changed_table(comparison, {"q4": "birds"})
    assert [row[:2] for row in changed.rows] == [("q4", "birds"), ("q2", "")]


def test_a_comparison_is_of_what_both_have(ours):
    part = evaluate(
        Task("queries", {"q2": QRELS["q2"]}), OTHER, ["map", "recall@9"], configuration="part"
    )
    comparison = compare(ours.scores, part.scores)
    assert comparison.names == ("map",)
    assert [side.tolist() for side in comparison.values] == [[[0.5]], [[1.0]]]
    nothing = evaluate(TASK, OTHER, ["recall@9"], configuration="other")
    with pytest.raises(UsageError, match="shares no metric"):
        compare(ours.scores, nothing.scores)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_scores_come_back_from_a_table(ours, tmp_path, ending):
    write_per_query(query_table([ours]), tmp_path / f"mine{ending}")
    (again,) = read_scores(tmp_path / f"mine{ending}")
    assert (again.configuration, again.task) == ("mine", "queries")
    assert (again.queries, again.metrics) == (ours.scores.queries, ours.scores.metrics)
    np.testing.assert_array_equal(again.values, ours.scores.values)


def test_a_table_is_csv_or_json_lines(ours, tmp_path):
    with pytest.raises(UsageError, match=r"neither \.csv nor \.jsonl"):
        write_per_query(query_table([ours]), tmp_path / "mine.txt")


def test_another_side_is_a_run_a_report_or_a_table(ours, theirs, tmp_path):
    write_run(tmp_path / "other.run", OTHER, "theirs")
    write_report(measured(theirs).report, tmp_path / "other.json")
    write_per_query(query_table([theirs]), tmp_path / "theirs.csv")
    found = [
        with_comparison(measured(ours), tmp_path / name).report.tables["queries against theirs"]
        for name in ("other.run", "other.json", "theirs.csv")
    ]
    for table in found[1:]:
        for row, first in zip(table.rows, found[0].rows, strict=True):
            assert row == pytest.approx(first, abs=1e-5)


def test_another_side_of_the_same_name_is_told_apart(ours, theirs, tmp_path):
    write_per_query(query_table([theirs]), tmp_path / "ours.csv")
    both = with_comparison(measured(ours), tmp_path / "ours.csv")
    assert "queries against ours (ours.csv)" in both.report.tables
    assert [one.configuration for one in both.panels()["queries"]] == ["ours", "ours (ours.csv)"]


def test_another_runs_names_and_depth_are_made_equal(ours, tmp_path):
    write_run(tmp_path / "a.run", {"q4": {"x": 3.0, "g": 2.0, "h": 1.0}}, "deep")
    one = measured(ours, aliases={"g": "f"}, depth=2)
    table = with_comparison(one, tmp_path / "a.run").report.tables["queries against deep"]
    assert dict(zip([row[0] for row in table.rows], [row[2] for row in table.rows], strict=True))[
        "mrr"
    ] == pytest.approx(1 / 2 / 3)


def test_queries_of_one_side_are_counted(ours, tmp_path):
    part = evaluate(Task("queries", {"q2": {"d": 1}}), OTHER, METRICS, configuration="part")
    write_per_query(query_table([part]), tmp_path / "part.csv")
    both = with_comparison(measured(ours), tmp_path / "part.csv")
    assert both.notes == ("2 queries stand on one side only, and are left out of differences",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", '{"name": "x", "tables": {}, "settings": {}}'),
        ("a.csv", ""),
        ("a.csv", "task,query,map\n"),
        ("a.csv", "task,query,map\nqueries,q1,nan\n"),
        ("a.csv", "task,query,map\nqueries,q1\n"),
        ("a.csv", "query,map\nq1,1\n"),
        ("a.jsonl", "1\n"),
        ("a.jsonl", '{"task": "queries", "query": "q1", "map": 1.5}\n'),
        ("a.jsonl", '{"task": "else", "query": "q1", "map": 0.5}\n'),
        ("a.run", "q9 Q0 a 1 1 tag\n"),
    ],
)
def test_another_side_that_cannot_be_used(ours, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        with_comparison(measured(ours), tmp_path / name)
    assert caught.value.hint


def test_a_measurement_without_queries_cannot_be_compared(ours):
    report = measured(ours).report
    with pytest.raises(UsageError, match="asks no queries"):
        require_tasks(Measured(report, (), {}))


def test_a_cut_beyond_the_depth_is_refused():
    assert Measuring().asked_depth == 100
    with pytest.raises(UsageError) as caught:
        _ = Measuring(cuts=(5, 200)).asked_depth
    assert caught.value.hint == "add --depth 200"


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_plot_shows_every_side(ours, theirs, tmp_path, ending):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    path = tmp_path / f"plot{ending}"
    write_plot({"queries": [ours.scores, theirs.scores]}, path)
    if ending == ".png":
        with Image.open(path) as image:
            assert min(image.size) > 300
    else:
        text = path.read_text()
        assert "<!-- theirs -->" in text
        assert "<!-- ndcg@10 -->" in text
        write_plot({"queries": [ours.scores, theirs.scores]}, path)
        assert path.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_plot_needs_its_extra_and_an_ending(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"neither \.png nor \.svg"):
        check_plot(tmp_path / "plot.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError) as caught:
        check_plot(tmp_path / "plot.png")
    assert caught.value.hint == "pip install 'lookalike[plot]'"


def test_a_report_is_valid_json(ours):
    assert json.loads(json.dumps(measured(ours).report.to_json(), allow_nan=False))
