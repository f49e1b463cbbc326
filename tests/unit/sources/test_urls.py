"""Lists of URLs, and single ones."""

import pytest

from lookalike.adapters.source_urls import UrlListSource, UrlSource
from lookalike.domain.errors import SourceError


def write(tmp_path, text):
    (tmp_path / "urls.txt").write_text(text, encoding="utf-8")
    return tmp_path / "urls.txt"


def test_a_list(tmp_path):
    text = (
        "\ufeff# pictures\nhttps://x.org/1.jpg\n\n  http://y.org/2.jpg\ta dog \r\nftp://z/3\nwords"
    )
    source = UrlListSource(write(tmp_path, text))
    one, two, three, four = source.items()
    assert source.count() == 4
    assert (one.kind, one.url, one.source.site) == ("url", "https://x.org/1.jpg", "x.org")
    assert two.source.caption == "a dog"
    assert two.source.uri == "http://y.org/2.jpg"
    assert three.error[0] == four.error[0] == "bad-record"
    assert three.source.uri.endswith("urls.txt#line-5")


def test_a_list_that_is_missing(tmp_path):
    with pytest.raises(SourceError):
        list(UrlListSource(tmp_path / "none.txt").items())


def test_one_url():
    (item,) = UrlSource(" https://x.org/a.jpg ").items()
    assert item.url == item.source.uri == "https://x.org/a.jpg"
    assert UrlSource.accepts("https://x.org")
    assert not UrlSource.accepts("x.org")
    assert UrlListSource.accepts("a/urls.txt")
    assert not UrlListSource.accepts("https://x.org/urls.txt")
