"""The checks of documents, on documents made to fail them."""

import json
from types import SimpleNamespace

import pytest

from lookalike.evaluation.reports import Machine, Report, Table, write_report
from tools import attribution, check_docs, check_sizes, figures
from tools.cli_help import load_command
from tools.repository import ROOT, list_files


def parameter(kind, *names):
    return SimpleNamespace(param_type_name=kind, opts=list(names), secondary_opts=[])


def command(*parameters, **below):
    return SimpleNamespace(params=list(parameters), commands=below, hidden=False)


COMMAND = command(
    parameter("option", "--version"),
    search=command(parameter("argument", "query"), parameter("option", "--k", "-k")),
    models=command(show=command(parameter("argument", "name")), list=command()),
)


@pytest.mark.parametrize(
    "line",
    [
        'lookalike search "a dog" -k 5',
        "$ lookalike search dog --k=3 | less",
        "lookalike --version",
        "lookalike models show lite",
        "lookalike search dog \\\n    -k 3",
        "pip install lookalike",
        "lookalike search --help",
    ],
)
def test_a_right_example_passes(line):
    text = f"```console\n{line}\n```\n"
    assert list(check_docs.find_wrong_examples("README.md", text, COMMAND)) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("lookalike serach dog", "no command serach"),
        ("lookalike search dog --colour red", "no option --colour"),
        ("lookalike models remove lite", "no command remove"),
        (".venv/bin/lookalike list --watch", "no command list"),
    ],
)
def test_a_wrong_example_is_named(line, fault):
    text = f"```console\n{line}\n```\n"
    (found,) = check_docs.find_wrong_examples("README.md", text, COMMAND)
    assert fault in found


def test_links_and_anchors_that_lead_nowhere():
    text = (
        "[a](LICENSE) [b](gone.md) [c](README.md#lookalike) [d](README.md#gone) [e](https://x.org)"
    )
    text += "\n```\n[f](in-code.md)\n```\n"
    faults = list(check_docs.find_broken_links(ROOT / "README.md", text))
    assert [fault.split(": ")[1].split()[0] for fault in faults] == ["the", "README.md#gone"]
    assert "gone.md" in faults[0]


def test_anchors_are_made_as_the_hosts_make_them():
    assert check_docs.anchor_of("`lookalike index`") == "lookalike-index"
    assert check_docs.anchor_of("Quality, and speed") == "quality-and-speed"


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "root/x",
        "index: https://py" + "pi.org/simple",
        "cd /" + "work/main",
        "/ho" + "me/me",
    ],
)
def test_places_of_ones_own_are_found(text):
    assert list(check_docs.find_forbidden(ROOT / "README.md", "first\n" + text))


@pytest.mark.parametrize("text", ["at home/page", "src/work/x", "a /workers endpoint"])
def test_other_words_are_left_alone(text):
    assert not list(check_docs.find_forbidden(ROOT / "README.md", text))


def test_figures_come_from_their_file(tmp_path):
    report = {"m": {"ndcg@10": 0.4567, "n": 1234}, "t": {"columns": ["a"], "rows": [[1], [None]]}}
    (tmp_path / "r.json").write_text(json.dumps(report))
    text = (
        "x <!-- from: r.json#m.ndcg@10 -->old<!-- /from --> "
        "<!-- from: r.json#m.ndcg@10 | .0% --><!-- /from --> "
        "<!-- from: r.json#m.n --><!-- /from -->\n<!-- from: r.json#t --><!-- /from -->"
    )
    filled = figures.fill(text, tmp_path)
    assert [block["body"] for block in figures.BLOCK.finditer(filled)] == [
        "0.457",
        "46%",
        "1,234",
        "\n| a |\n|---:|\n| 1 |\n| – |\n",
    ]
    assert figures.fill(filled, tmp_path) == filled


def test_a_table_of_a_report_says_where_it_was_measured(tmp_path):
    machine = Machine("Some CPU", 2, 0, "Linux", "3.11")
    tables = {"by word": Table(("word", "ap"), [("dog", 0.5)])}
    report = Report("coco", "2026-01-02", "abc", 0, machine, {"text→image map": 0.25}, tables)
    write_report(report, tmp_path / "coco.json")
    text = (
        '<!-- from: coco.json#report."by word" --><!-- /from -->\n'
        '<!-- from: coco.json#metrics."text→image map" | .2f --><!-- /from -->'
    )
    filled = figures.fill(text, tmp_path)
    assert "coco, measured 2026-01-02 at commit abc, seed 0, on Some CPU (2 cores):\n" in filled
    assert "\n| word | ap |\n|---|---:|\n| dog | 0.500 |\n" in filled
    assert "-->0.25<!--" in filled


def test_a_figure_in_code_is_left_alone(tmp_path):
    (tmp_path / "r.json").write_text('{"a": 1}')
    text = "```markdown\n<!-- from: r.json#gone --><!-- /from -->\n```\n"
    block = "<!-- from: r.json#a --><!-- /from -->"
    assert figures.fill(text + block, tmp_path) == text + block.replace("><", ">1<")


def test_a_figure_without_its_file_is_not_shown(tmp_path):
    text = "<!-- from: gone.json#a -->0.99<!-- /from -->"
    document = tmp_path / "README.md"
    document.write_text(text)
    assert figures.check([document], tmp_path, is_written=False)
    assert figures.check([document], tmp_path, is_written=True) == []
    assert document.read_text() == "<!-- from: gone.json#a --><!-- /from -->"


def test_a_figure_that_its_file_lacks_is_a_fault(tmp_path):
    (tmp_path / "r.json").write_text('{"a": [1]}')
    document = tmp_path / "README.md"
    document.write_text("<!-- from: r.json#a.7 --><!-- /from -->")
    (fault,) = figures.check([document], tmp_path, is_written=True)
    assert "r.json: there is no a.7" in fault


def test_long_functions_and_modules_are_found(tmp_path):
    path = tmp_path / "long.py"
    path.write_text("def long():\n" + "    x = 1\n" * 450)
    assert len(list(check_sizes.find_faults(path, "long.py"))) == 2
    path.write_text("def short():\n    return 1\n")
    assert list(check_sizes.find_faults(path, "long.py")) == []


def test_every_sample_is_there_licensed_and_small():
    rows = attribution.read_samples()
    assert attribution.find_faults(rows) == []
    assert 60 <= len(rows) <= 120
    size = sum((ROOT / "samples" / str(row["path"])).stat().st_size for row in rows)
    assert size < 4_000_000


def test_a_sample_without_an_open_licence_is_refused():
    rows = attribution.read_samples()
    rows[0] = rows[0] | {"licence": "CC-BY-NC-2.0"}
    rows[1] = rows[1] | {"licence": "CC-BY-2.0", "author": "unknown"}
    assert len(attribution.find_faults(rows)) == 2


def test_examples_of_the_documents_name_real_commands():
    root = load_command()
    if root is None:
        pytest.skip("there is no command line yet")
    faults = [
        fault
        for document in list_files(".md")
        for fault in check_docs.find_wrong_examples(document.name, document.read_text(), root)
    ]
    assert faults == []


def test_every_setting_is_documented():
    assert list(check_docs.find_undocumented_settings()) == []
