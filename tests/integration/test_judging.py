"""An index measured by judgements in TREC form, with the toy encoder and real files."""

import pytest

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import QueryError, UsageError
from lookalike.domain.images import image_id
from lookalike.evaluation.outcomes import Measuring, with_comparison
from lookalike.evaluation.trec import read_run, write_run
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.judging import measure_index, measure_run, name_images
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.toy import DIM, ToyEncoder, fill_folder

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six pictures, and one of the same name in another folder."""
    folder = tmp_path_factory.mktemp("judging") / "pictures"
    fill_folder(folder, 6, colours=COLOURS)
    (folder / "more").mkdir()
    (folder / "more" / "red-0000.jpg").write_bytes((folder / "blue-0005.jpg").read_bytes() + b" ")
    (folder / "more" / "again.jpg").write_bytes((folder / "green-0001.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory, pictures):
    root = tmp_path_factory.mktemp("judging-index")
    write_manifest(root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES))
    with assemble(
        root, read_manifest(root), ToyEncoder(),
        options=OpenOptions(), settings=Settings(decoders=1, threads=1),
    ) as engine:  # fmt: skip
        assert engine.index([FolderSource(pictures)]).added == 7
        yield engine


@pytest.fixture
def measure(engine, tmp_path):
    def measured(qrels, queries, **how):
        (tmp_path / "toy.qrels").write_text(qrels)
        (tmp_path / "toy.tsv").write_text(queries)
        return measure_index(
            engine, tmp_path / "toy.qrels", tmp_path / "toy.tsv", Measuring(cuts=(1, 2), **how)
        )

    return measured


def test_documents_are_named_by_id_prefix_file_and_path(engine, pictures):
    image = image_id((pictures / "blue-0002.jpg").read_bytes())
    odd = image_id((pictures / "more" / "red-0000.jpg").read_bytes())
    named = name_images(
        engine,
        [image, image.upper(), image[:6], "blue-0002.jpg", "pictures/blue-0002.jpg",
         str(pictures / "blue-0002.jpg"), "more/red-0000.jpg", "red-0000.jpg", "lue-0002.jpg",
         "0" * 32, "none.jpg"],
    )  # fmt: skip
    assert set(list(named.images.values())[:6]) == {image}
    assert named.images["more/red-0000.jpg"] == odd
    assert named.ambiguous == ("red-0000.jpg",)
    assert named.unknown == ("lue-0002.jpg", "0" * 32, "none.jpg")


def test_an_index_is_measured_and_what_is_left_out_is_said(measure):
    one = measure(
        "q1 0 green-0001.jpg 2\nq1 0 green-0004.jpg 1\nq1 0 again.jpg 1\n"
        "q2 0 blue-0002.jpg 1\nq2 0 gone.jpg 1\nq3 0 blue-0002.jpg 1\nq4 0 blue-0002.jpg 0\n",
        "q1\tgreen\nq2\tblue -red\nq4\tblue\nq5\tred\n",
    )
    (evaluation,) = one.evaluations
    assert evaluation.scores.queries == ("q1", "q2")
    assert evaluation.relevant == (2, 2)  # again.jpg is green-0001.jpg; gone.jpg stays wanted
    assert one.report.metrics["recall@2"] <= 0.75
    assert set(one.run) == {"q1", "q2", "q4", "q5"}
    assert next(iter(one.run["q1"])) in {"green-0001.jpg", "green-0004.jpg"}
    assert [note.partition(" judged")[0] for note in one.notes] == [
        "1 queries have no judgements; they are asked, but not scored",
        "1",
        "1 of 5",
        "1",
        "1",
    ]
    assert any("gone.jpg" in note for note in one.notes)


def test_a_saved_run_scores_as_the_index_did(measure, tmp_path):
    one = measure("q1 0 green-0001.jpg 2\nq2 0 blue-0002.jpg 1\n", "q1\tgreen\nq2\tred\n")
    write_run(tmp_path / "toy.run", one.run, one.configuration)
    again = measure_run(tmp_path / "toy.qrels", tmp_path / "toy.run", Measuring(cuts=(1, 2)))
    assert again.report.metrics == one.report.metrics
    assert again.configuration == one.configuration
    both = with_comparison(one, tmp_path / "toy.run")
    (table,) = (t for name, t in both.report.tables.items() if name.endswith("(toy.run)"))
    assert {row[3] for row in table.rows} == {0.0}
    assert {row[6] for row in table.rows} == {1.0}


def test_a_run_names_images_without_judgements_by_id(measure, pictures, tmp_path):
    one = measure("q1 0 green-0001.jpg 2\n", "q1\tblue\n")
    write_run(tmp_path / "toy.run", one.run, "toy")
    found = set(read_run(tmp_path / "toy.run").answers["q1"])
    assert image_id((pictures / "blue-0002.jpg").read_bytes()) in found


def test_a_query_that_cannot_be_parsed_names_its_line(measure):
    with pytest.raises(QueryError, match=r"toy\.tsv:2: ") as caught:
        measure("q1 0 green-0001.jpg 1\n", "q1\tgreen\nq2\tcolour_of:red\n")
    assert caught.value.place is not None


@pytest.mark.parametrize(
    ("qrels", "queries", "fault"),
    [
        ("q1 0 none.jpg 1\n", "q1\tgreen\n", "no document of"),
        ("q1 0 green-0001.jpg 1\n", "q2\tgreen\n", "no query has judgements"),
        ("q1 0 green-0001.jpg 0\n", "q1\tgreen\n", "nothing above 0"),
        ("q1 0 green-0001.jpg 0\nq2 0 green-0001.jpg 1\n", "q1\tgreen\n", "has a relevant"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(measure, qrels, queries, fault):
    with pytest.raises(UsageError, match=fault) as caught:
        measure(qrels, queries)
    assert caught.value.hint


def test_a_run_without_any_judged_query_is_refused(tmp_path):
    (tmp_path / "a.qrels").write_text("q1 0 a 1\n")
    (tmp_path / "a.run").write_text("q2 Q0 a 1 1 tag\n")
    with pytest.raises(UsageError, match="answers no query") as caught:
        measure_run(tmp_path / "a.qrels", tmp_path / "a.run", Measuring())
    assert "q1" in caught.value.hint
    assert "q2" in caught.value.hint
