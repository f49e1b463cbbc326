"""Saved pages: their pictures from the page's folder or the web, and folders of such pages."""

import os

import pytest

from lookalike.adapters.source_folder import FolderSource
from lookalike.adapters.source_pages import PagedFolderSource, SavedPageSource
from lookalike.adapters.source_table import TableSource
from lookalike.adapters.source_warc import WarcSource
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError
from lookalike.settings import Settings
from lookalike.wiring.sources import open_sources

SAVED = """<!-- saved from url=(0026)https://a.org/birds/puffin -->
<title>Birds</title><h1>Puffins</h1>"""


def save(folder, html, name="page.html"):
    (folder / name).write_text(SAVED + html, encoding="utf-8")
    return folder / name


def items(path, **options):
    return list(SavedPageSource(path, **options).items())


def test_pictures_come_from_the_pages_folder_with_its_words(touch):
    folder = touch("page_files/p.jpg", "page_files/caf\u00e9 1.jpg")
    remote = "https://a.org/big.jpg 2x"
    html = f'<img src="./page_files/p.jpg" alt="a puffin" srcset="{remote}">'
    path = save(folder, html + '<img src="page_files/caf%C3%A9%201.jpg">')
    first, second = items(path)
    said = first.source
    assert (first.kind, first.path) == ("path", folder / "page_files/p.jpg")
    assert said.uri == str(folder / "page_files/p.jpg")
    assert (said.alt_text, said.title, said.page_text) == ("a puffin", "Birds", "Puffins")
    assert (said.page_url, said.site) == ("https://a.org/birds/puffin", "a.org")
    assert second.path == folder / "page_files/caf\u00e9 1.jpg"


def test_what_was_not_saved_is_a_url(touch):
    path = save(touch(), '<img src="https://b.org/x.jpg" alt=x><img src="img/y.jpg">')
    first, second = items(path)
    assert (first.kind, first.url, first.source.uri) == ("url", "https://b.org/x.jpg", first.url)
    assert first.source.site == "a.org"
    assert second.url == "https://a.org/birds/img/y.jpg"


def test_nothing_outside_the_pages_folder_is_read(touch):
    folder = touch("secret.jpg", "saved/x.txt")
    (folder / "saved/link.jpg").symlink_to(folder / "secret.jpg")
    names = (
        "../secret.jpg", f"file://{folder}/secret.jpg", "link.jpg", "%2e%2e/secret.jpg",
        "file://elsewhere/share/x.jpg", "page_files/gone.jpg", "x\0.jpg",
    )  # fmt: skip
    html = "".join(f'<img src="{name}">' for name in names)
    (folder / "saved/page.html").write_text(html)
    found = items(folder / "saved/page.html")
    assert {item.kind for item in found} == {"error"}
    assert {item.error[0] for item in found} == {reasons.BLOCKED_ADDRESS, reasons.VANISHED}


def test_each_file_comes_once(touch):
    path = save(
        touch("page_files/p.jpg"), '<img src="page_files/p.jpg"><img src="./x/../page_files/p.jpg">'
    )
    assert len(items(path)) == 1


def test_a_page_may_opt_out(touch):
    html = '<meta name=robots content="noai"><img src="page_files/p.jpg" alt=x>'
    folder = touch("page_files/p.jpg")
    path = save(folder, html)
    (item,) = items(path)
    assert (item.source.uri, item.error[0]) == (str(path), reasons.OPTED_OUT)
    (item,) = items(path, is_opt_out_honoured=False)
    assert item.source.alt_text == "x"
    (kept,) = PagedFolderSource(FolderSource(folder)).items()
    assert (kept.kind, kept.source.alt_text) == ("path", "")
    (said,) = PagedFolderSource(FolderSource(folder), is_opt_out_honoured=False).items()
    assert said.source.alt_text == "x"


@pytest.mark.parametrize("name", ["page.htm", "page.xhtml", "page.html"])
def test_pictures_of_a_folder_carry_their_pages_words(touch, name):
    folder = touch("page_files/p.jpg", "other.jpg", "lone_files/q.jpg")
    save(folder, '<img src="page_files/p.jpg" alt="a puffin">', name)
    said = {item.path.name: item.source for item in PagedFolderSource(FolderSource(folder)).items()}
    assert said["p.jpg"].alt_text == "a puffin"
    assert (
        said["p.jpg"].fingerprint
        != next(FolderSource(folder / "page_files").items()).source.fingerprint
    )
    assert said["other.jpg"].alt_text == said["q.jpg"].alt_text == ""


def test_a_sidecar_wins_over_the_page(touch):
    folder = touch("page_files/p.jpg")
    (folder / "page_files/p.txt").write_text("by hand")
    html = (
        '<figure><img src="page_files/p.jpg" alt="a puffin"><figcaption>page</figcaption></figure>'
    )
    save(folder, html)
    (item,) = PagedFolderSource(FolderSource(folder)).items()
    assert (item.source.caption, item.source.alt_text) == ("by hand", "a puffin")


def test_pages_that_cannot_be_read(touch):
    folder = touch("page_files/p.jpg", "bad.html", "empty.html", data=b"\xff\xfe\0<")
    (folder / "empty.html").write_bytes(b"")
    assert items(folder / "bad.html") == items(folder / "empty.html") == []
    os.mkdir(folder / "page.html")
    assert not SavedPageSource.accepts(str(folder / "page.html"))
    with pytest.raises(SourceError):
        items(folder / "no.html")
    assert [item.kind for item in PagedFolderSource(FolderSource(folder)).items()] == ["path"]


def test_words_on_the_command_line_find_their_source(touch):
    folder = touch("page_files/p.jpg", "w/a.warc.gz", "w/b.warc", "t.csv")
    save(folder, "")
    names = ["page.html", "w/a.warc.gz", "w/b.warc", "t.csv", "w", "page_files"]
    opened = open_sources([str(folder / name) for name in names], "no.index", Settings())
    kinds = [SavedPageSource, WarcSource, TableSource, WarcSource, PagedFolderSource]
    assert [type(source) for source in opened] == kinds
    assert opened[1].name == f"{folder}/w/a.warc.gz {folder}/w/b.warc"
