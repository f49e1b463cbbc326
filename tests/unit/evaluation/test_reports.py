import json

import pytest

from lookalike.evaluation.reports import (
    Machine,
    Report,
    Table,
    describe_machine,
    render_markdown,
    render_text,
    write_report,
)
from tools.figures import fill

TABLE = Table(("encoder", "recall@10", "images"), [("lite", 0.66123, 1000), ("other", None, 5)])
REPORT = Report(
    name="Flickr8k dev",
    date="2026-01-02",
    commit="abc1234",
    seed=7,
    machine=Machine("Some CPU", 2, 1024, "Linux", "3.11.7"),
    metrics={"recall@10": 0.123456789},
    tables={"by_encoder": TABLE},
    settings={"k": 10},
)


def test_the_file_says_where_when_and_what(tmp_path):
    path = tmp_path / "eval" / "flickr8k.json"
    write_report(REPORT, path)
    document = json.loads(path.read_text())
    assert document["machine"]["cores"] == 2
    assert (document["date"], document["commit"], document["seed"]) == ("2026-01-02", "abc1234", 7)
    assert document["metrics"] == {"recall@10": 0.123457}
    assert [p.name for p in path.parent.iterdir()] == ["flickr8k.json"]


def test_documents_take_figures_and_tables_from_the_file(tmp_path):
    write_report(REPORT, tmp_path / "a.json")
    text = (
        "R@10 <!-- from: a.json#metrics.recall@10 | .2f --><!-- /from -->\n"
        "<!-- from: a.json#tables.by_encoder --><!-- /from -->\n"
    )
    filled = fill(text, tmp_path)
    assert "R@10 <!-- from: a.json#metrics.recall@10 | .2f -->0.12<!-- /from -->" in filled
    assert f"\n{render_markdown(TABLE)}\n" in filled


def test_tables():
    assert render_markdown(TABLE).splitlines() == [
        "| encoder | recall@10 | images |",
        "|---|---:|---:|",
        "| lite | 0.661 | 1,000 |",
        "| other | – | 5 |",
    ]
    assert render_text(TABLE).splitlines() == [
        "encoder  recall@10  images",
        "lite         0.661   1,000",
        "other            –       5",
    ]


def test_the_fragment_holds_everything():
    text = REPORT.to_markdown()
    for word in ("2026-01-02", "abc1234", "seed 7", "Some CPU", "| recall@10 | 0.123 |", "lite"):
        assert word in text


def test_the_machine(tmp_path):
    cpu, memory = tmp_path / "cpuinfo", tmp_path / "meminfo"
    cpu.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 2 GHz\n")
    memory.write_text("MemTotal:       2048 kB\n")
    machine = describe_machine(cpu, memory)
    assert (machine.cpu, machine.memory_bytes) == ("Fast CPU @ 2 GHz", 2048 * 1024)
    assert describe_machine(tmp_path / "none", tmp_path / "none").memory_bytes == 0


def test_a_figure_that_is_no_number_is_refused(tmp_path):
    broken = Report("x", "", "", 0, REPORT.machine, {"recall@1": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write_report(broken, tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
