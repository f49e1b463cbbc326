"""`eval` as people and scripts run it."""

import csv
import json

import pytest

from tests.toy import fill_folder

pytestmark = pytest.mark.timeout(300)

QRELS = "q1 0 red-0000.jpg 2\nq1 0 green-0001.jpg 1\nq2 0 blue-0002.jpg 1\nq3 0 gone.jpg 1\n"
QUERIES = "q1\tred\nq2\tblue\nq3\tgreen\n"


@pytest.fixture(scope="module")
def shop(commands, tiny_bundle, tmp_path_factory):
    """A folder with an index, judgements and queries, and a way to run `eval` there."""
    root = tmp_path_factory.mktemp("eval")
    fill_folder(root / "pictures", 12, colours=("red", "green", "blue"))
    done = commands.run(
        "index", root / "pictures", "--encoder", tiny_bundle, "--no-objects", "--no-ocr",
        "--index", root / "toy.index", "-q",
    )  # fmt: skip
    assert done.code == 0, done
    (root / "toy.qrels").write_text(QRELS)
    (root / "toy.tsv").write_text(QUERIES)
    return root


@pytest.fixture
def evaluate(commands, shop):
    def run(*argv):
        return commands.run("eval", *argv)

    return run


def asking(shop):
    return (
        "--qrels", shop / "toy.qrels", "--queries", shop / "toy.tsv", "--index", shop / "toy.index",
    )  # fmt: skip


def test_an_index_is_measured_compared_and_drawn(evaluate, shop, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    first = evaluate(
        *asking(shop), "--save-run", tmp_path / "a.run", "--out", tmp_path / "new" / "a.json",
        "-k", "2", "--name", "first",
    )  # fmt: skip
    assert first.code == 0, first
    assert "note: 1 of 4 judged documents are not in this index" in first.err
    assert "3 queries, intervals of 95 %" in first.out
    report = json.loads((tmp_path / "new" / "a.json").read_text())
    assert set(report["metrics"]) == {"recall@2", "precision@2", "ndcg@10", "mrr", "map"}
    assert report["settings"]["notes"]

    (tmp_path / "b.run").write_text("q1 Q0 green-0001.jpg 1 1.0 second\n")
    second = evaluate(
        "--qrels", shop / "toy.qrels", "--run", tmp_path / "b.run", "--against", tmp_path / "a.run",
        "-k", "2", "--worst", "2", "--per-query", tmp_path / "b.csv", "--plot", tmp_path / "b.svg",
        "--json",
    )  # fmt: skip
    assert second.code == 0, second
    answer = second.json
    assert answer["metrics"]["recall@2"] == pytest.approx(1 / 6, abs=1e-6)
    assert answer["settings"]["notes"] == ["2 judged queries are not in the run and score 0"]
    (table,) = (one for name, one in answer["tables"].items() if name == "queries against first")
    assert [row[0] for row in table["rows"]] == list(answer["metrics"])
    assert len(answer["worst"]["rows"]) == 2
    rows = list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))
    assert [row["query"] for row in rows] == ["q1", "q2", "q3"]
    assert "<!-- first -->" in (tmp_path / "b.svg").read_text()


def test_a_labelled_folder_is_measured_and_compared(commands, tiny_bundle, tmp_path):
    paths = fill_folder(tmp_path / "set" / "images", 4, colours=("red", "green"))
    (tmp_path / "set" / "images" / "broken.jpg").write_bytes(b"no picture")
    files = [f"images/{path.name}" for path in paths] + ["images/broken.jpg"]
    rows = [{"file": file, "captions": [f"{file} it is"], "label": file[7:10]} for file in files]
    (tmp_path / "set" / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, table = tmp_path / "a.run", tmp_path / "a.jsonl"
    asked = ("eval", tmp_path / "set", "--encoder", tiny_bundle, "--name", "toy")
    first = commands.run(*asked, "--save-run", run, "--per-query", table)
    assert first.code == 0, first
    assert "1 pictures were refused" in first.err
    assert "4 queries, intervals of 95 %" in first.out  # the captions of what could be read
    assert len(table.read_text().splitlines()) == 6
    for other in (run, table):
        again = commands.run(*asked, "--against", other, "--json")
        assert again.code == 0, again
        compared = {k: t for k, t in again.json["tables"].items() if k.endswith(f" {other.stem}")}
        compared |= {k: t for k, t in again.json["tables"].items() if k.endswith(f"({other.name})")}
        assert len(compared) == 2
        for one in compared.values():
            assert {row[3] for row in one["rows"]} == {0.0}


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ((), "nothing to measure by"),
        (("photos", "--qrels", "a.qrels"), "--qrels does not go with a dataset"),
        (("--qrels", "a.qrels", "--split", "dev"), "--split does not go with --qrels"),
        (("--qrels", "a.qrels"), "needs either --queries or --run"),
        (("--qrels", "a.qrels", "--run", "a.run", "--queries", "a.tsv"), "needs either"),
        (("--qrels", "a.qrels", "--run", "a.run", "--index", "a"), "--run needs no index"),
        (("--qrels", "none.qrels", "--run", "none.run"), "none.qrels"),
        (("photos", "--against", "none.run"), "there is no file none.run"),
        (("photos", "--plot", "a.gif"), "neither .png nor .svg"),
        (("photos", "--per-query", "a.txt"), "neither .csv nor .jsonl"),
        (("none",), "no labels.jsonl"),
    ],
)
def test_what_cannot_be_done_is_refused(evaluate, argv, word):
    done = evaluate(*argv)
    assert done.code == 2, done
    assert "Traceback" not in done.out + done.err
    assert done.err.startswith("error: ")
    assert word in done.err


def test_a_bad_line_is_named_with_its_number(evaluate, shop, tmp_path):
    (tmp_path / "bad.run").write_text("q1 Q0 red-0000.jpg 1 1.0 t\nq1 Q0 red-0000.jpg 2 nan t\n")
    done = evaluate("--qrels", shop / "toy.qrels", "--run", tmp_path / "bad.run")
    assert done.code == 2
    assert "bad.run:2: " in done.err
