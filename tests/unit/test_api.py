"""The Python interface, on a real small index."""

import io
import subprocess
import sys

import pytest
from PIL import Image

import lookalike
from lookalike.domain.errors import IndexMissingError, StoreError, UsageError
from lookalike.domain.images import image_id
from lookalike.domain.licences import normalise_licence
from tests.toy import fill_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "pictures"
    fill_folder(folder, 30)
    (folder / "red-0000.txt").write_text('<script>alert("x")</script> & a scarlet door')
    return folder


@pytest.fixture(scope="module")
def ix(folder, tiny_bundle):
    place = folder.parent / "my.index"
    with lookalike.open(place, create=True, encoder=str(tiny_bundle)) as ix:
        assert ix.index(folder, licence=normalise_licence("CC BY 4.0")).added == 30
        yield ix


def id_of(folder, name):
    return image_id((folder / name).read_bytes())


def test_importing_costs_nothing_heavy():
    code = "import sys, lookalike; sys.exit('numpy' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(lookalike.__all__) == {
        "Index", "LookalikeError", "Results", "Wishes", "__version__", "open",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        _ = lookalike.nothing


def test_words_and_filters(ix):
    found = ix.search("red", k=3)
    assert len(found) == 3
    assert all("red" in hit.record.location for hit in found)
    only = ix.search("red", color="yellow", k=30)
    assert {hit.record.location.rsplit("/", 1)[-1][:6] for hit in only} == {"yellow"}
    with pytest.raises(UsageError, match="yelow"):
        ix.search("red", color="yelow")
    with pytest.raises(UsageError):
        ix.search("red", colour_of_the_day="red")


def test_every_kind_of_picture_is_a_query(ix, folder):
    path = folder / "blue-0002.jpg"
    image = id_of(folder, "blue-0002.jpg")
    with Image.open(path) as opened:
        opened.load()
        pictures = [path, str(path), path.read_bytes(), opened, image]
        for picture in pictures:
            assert ix.similar(picture, k=1)[0].record.id == image
        palette = opened.convert("P")
    assert ix.similar(palette, k=3)[0].record.location.rsplit("/", 1)[-1].startswith("blue")
    with_words = ix.similar(path, text="5:yellow", k=1)
    assert "yellow" in with_words[0].record.location
    part = ix.similar(path, region=(0.0, 0.0, 0.5, 0.5), k=1)
    assert "blue" in part[0].record.location


def test_what_is_no_picture_is_said(ix, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    for wrong in (tmp_path / "none.jpg", tmp_path / "words.jpg", b"words", "a\0b", "f" * 5000):
        with pytest.raises(lookalike.LookalikeError):
            ix.similar(wrong)
    with pytest.raises(lookalike.LookalikeError):
        ix.similar("0" * 32)


def test_results_are_a_sequence(ix):
    found = ix.search("green", k=5)
    assert [hit.record.id for hit in found[1:3]] == [found[1].record.id, found[2].record.id]
    assert found[-1].record.id == found[4].record.id
    with pytest.raises(IndexError):
        _ = found[5]
    assert found.to_json()["hits"][0]["id"] == found[0].record.id
    assert found.to_json()["next"] == found.next
    following = ix.search("green", k=5, cursor=found.next)
    assert not {hit.record.id for hit in found} & {hit.record.id for hit in following}
    assert repr(found).startswith("5 of 30 for 'green'")
    assert found.result.total == 30


def test_a_gallery_escapes_what_pictures_say(ix):
    found = ix.search('scarlet <img src=x onerror="y">', k=2)
    shown = found._repr_html_()
    assert "<script>" not in shown
    assert "<img src=x" not in shown
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; a scarlet door" in shown
    assert shown.count("data:image/") == 2
    nothing = ix.search("red", min_width=5000)
    assert (len(nothing), "nothing found" in nothing._repr_html_()) == (0, True)


def test_records_and_thumbnails(ix, folder):
    image = id_of(folder, "pink-0008.jpg")
    assert ix.get(image[:8])["id"] == image
    assert ix.get(image)["licence"] == "cc-by-4.0"
    with Image.open(io.BytesIO(ix.thumbnail(image))) as thumbnail:
        assert thumbnail.size == (48, 36)
    assert image in ix
    for other in ("0" * 32, "not an id", "", 7, None):
        assert other not in ix
    assert len(ix) == ix.status()["images"] == 30


def test_removing_and_reopening(tmp_path, tiny_bundle, folder):
    place = tmp_path / "index"
    image = id_of(folder, "red-0010.jpg")
    with lookalike.open(place, create=True, encoder=str(tiny_bundle)) as ix:
        ix.index(folder)
        assert ix.remove(image[:10], block=True) == 1
        assert image not in ix
    with lookalike.open(place) as ix:
        assert len(ix) == 29
        assert ix.index(folder).failed == {"blocked": 1}


def test_opening_what_is_not_there(tmp_path):
    with pytest.raises(IndexMissingError) as caught:
        lookalike.open(tmp_path / "none")
    assert "lookalike index" in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_closing_twice_is_fine_and_using_it_then_is_an_error(tmp_path, tiny_bundle, folder):
    ix = lookalike.open(tmp_path / "index", create=True, encoder=str(tiny_bundle))
    ix.index(folder)
    assert len(ix.search("red")) == 20
    ix.close()
    ix.close()
    for use in (lambda: ix.search("red"), lambda: len(ix), ix.status, lambda: ix.index(folder)):
        with pytest.raises(StoreError, match="closed"):
            use()
