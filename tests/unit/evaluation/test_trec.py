import math
from itertools import pairwise

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import UsageError
from lookalike.evaluation.trec import (
    check_qrels,
    falling,
    read_qrels,
    read_queries,
    read_run,
    write_run,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@pytest.fixture
def file(tmp_path):
    def written(text, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_qrels_between_spaces_or_tabs(file):
    path = file("\ufeffq1 0 a.jpg 2\r\nq1\t0\tmy photo.jpg\t0\n\n q2  Q0 b -1\n")
    assert read_qrels(path) == {"q1": {"a.jpg": 2, "my photo.jpg": 0}, "q2": {"b": -1}}


def test_a_run_is_ordered_by_score_then_rank(file):
    run = read_run(file("q Q0 a 3 0.5 mine\nq Q0 b 2 0.5 other\nq Q0 c 9 1e1 mine\n"))
    assert run.tag == "mine"
    assert list(run.answers["q"].items()) == [("c", 10.0), ("b", 0.5), ("a", 0.5)]


def test_queries_from_a_table_and_from_json_lines(file):
    table = read_queries(file("q1\ta red cat\nq 2\thas:dog -car\tsize:large\n"))
    assert {name: line.text for name, line in table.items()} == {
        "q1": "a red cat",
        "q 2": "has:dog -car\tsize:large",
    }
    rows = '{"qid": 7, "text": "cat"}\n\n{"_id": "b", "query": "dog"}\n'
    lines = read_queries(file(rows, "a.jsonl"))
    assert {name: (line.text, line.line) for name, line in lines.items()} == {
        "7": ("cat", 1),
        "b": ("dog", 3),
    }


@pytest.mark.parametrize(
    ("read", "text", "fault"),
    [
        (read_qrels, "q 0 a 1\nq 0 b", ":2: there are 3 columns, not 4"),
        (read_qrels, "q 0 a one", ":1: 'one' is not a grade"),
        (read_qrels, "q 0 a 31", ":1: the grade 31 is over 30"),
        (read_qrels, "q 0 a 1\nq 0 a 1", ":2: a was judged before"),
        (read_qrels, b"q 0 a 1\nq 0 \xff 1", ":2: it is not UTF-8"),
        (read_qrels, " \n\n", "is empty"),
        (read_run, "", "is empty"),
        (read_run, "q 0 a 1", ":1: there are 4 columns, not 6"),
        (read_run, "q Q0 a 1 nan t", ":1: the score is nan"),
        (read_run, "q Q0 a 1 -inf t", ":1: the score is -inf"),
        (read_run, "q Q0 a first 1 t", ":1: 'first' and '1' are no rank and score"),
        (read_run, "q Q0 a 1 2 t\nq Q0 a 2 1 t", ":2: a was answered before to query q"),
        (read_queries, "q1 no tab", ":1: there is no query here"),
        (read_queries, "q1\t ", ":1: there is no query here"),
        (read_queries, "q1\ta\nq1\tb", ":2: query q1 stands in line 1"),
    ],
)
def test_a_bad_line_is_named(file, read, text, fault):
    with pytest.raises(UsageError) as caught:
        read(file(text))
    assert fault in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("line", ["{", "[1]", '{"qid": "a"}', '{"qid": [], "text": "b"}'])
def test_a_bad_object_is_named(file, line):
    with pytest.raises(UsageError, match=":2: "):
        read_queries(file('{"qid": "q", "text": "cat"}\n' + line, "a.jsonl"))


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError):
            read_qrels(path)


def test_judgements_that_find_nothing_relevant(tmp_path):
    with pytest.raises(UsageError, match="nothing above 0"):
        check_qrels({"q": {"a": 0, "b": -1}}, tmp_path)


def _exact(run):
    """Nine digits name a float32 number, and its place among others."""
    return {
        query: [(document, float(np.float32(score))) for document, score in found.items()]
        for query, found in run.items()
    }


@given(
    st.dictionaries(
        NAMES,
        st.dictionaries(NAMES, st.floats(-1e6, 1e6, width=32), min_size=1, max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_a_run_comes_back_as_it_was_written(tmp_path_factory, run):
    run = {
        query: dict(zip(found, falling(sorted(found.values(), reverse=True)), strict=True))
        for query, found in run.items()
    }
    path = tmp_path_factory.mktemp("runs") / "a.run"
    write_run(path, run, "my own\ttag")
    again = read_run(path)
    assert again.tag == "my-own-tag"
    assert _exact(again.answers) == _exact(run)


def test_other_readers_find_the_same_ranking(tmp_path):
    run = {"q": dict(zip("zyx", falling([0.25, 0.75, 0.75]), strict=True))}
    write_run(tmp_path / "a.run", run, "tag")
    read = ir_measures.read_trec_run(str(tmp_path / "a.run"))
    qrels = [ir_measures.Qrel("q", "y", 1)]
    assert ir_measures.calc_aggregate([ir_measures.RR], qrels, read) == {ir_measures.RR: 0.5}


def test_a_name_that_a_run_cannot_hold(tmp_path):
    with pytest.raises(UsageError, match="holds a tab"):
        write_run(tmp_path / "a.run", {"q": {"a\tb": 1.0}}, "tag")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(-100, 100)))
def test_scores_fall_strictly_and_stay_where_they_fell(scores):
    fallen = falling(scores)
    assert all(a > b for a, b in pairwise(fallen))
    kept = sorted(set(map(float, np.float32(scores))), reverse=True)
    assert falling(kept) == kept
    assert all(map(math.isfinite, fallen))
