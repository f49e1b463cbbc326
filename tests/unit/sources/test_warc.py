"""WARC files: pictures joined with the pages that mention them, however damaged the file is."""

import gzip
import zlib

import brotli
import pytest

from lookalike.adapters import source_warc
from lookalike.adapters.source_warc import WarcSource
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError
from tests.unit.sources.warcs import digest, page, record, response, write

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 400
PNG = b"\x89PNG\r\n\x1a\n" + b"\1" * 400
PUFFIN = page(
    "https://a.org/birds.html",
    '<title>Birds</title><h1>Puffins</h1><figure><img src="/p.jpg" alt="a puffin">'
    "<figcaption>On a cliff</figcaption></figure><p>They nest in burrows.</p>",
)


def by_uri(source):
    return {item.source.uri: item for item in source.items()}


def errors(source):
    return {i.source.uri: i.error[0] for i in source.items() if i.kind == "error"}


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
@pytest.mark.parametrize("is_page_first", [True, False])
def test_a_picture_gets_the_words_of_its_page(tmp_path, name, is_page_first):
    records = [PUFFIN, response("https://a.org/p.jpg", JPEG, "image/jpeg")]
    path = write(tmp_path / name, records if is_page_first else records[::-1])
    (item,) = WarcSource(path).items()
    said = item.source
    assert (item.kind, item.data, said.uri) == ("data", JPEG, "https://a.org/p.jpg")
    assert (said.alt_text, said.caption, said.title) == ("a puffin", "On a cliff", "Birds")
    assert said.page_text == "Puffins\nThey nest in burrows."
    assert (said.page_url, said.site) == ("https://a.org/birds.html", "a.org")
    assert said.seen == 1709294400.0


def test_a_file_packed_as_one_whole_is_read(tmp_path):
    plain = PUFFIN + response("https://a.org/p.jpg", JPEG, "image/jpeg")
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(plain))
    (item,) = WarcSource(tmp_path / "a.warc.gz").items()
    assert item.source.alt_text == "a puffin"


def test_archives_of_a_folder_are_joined(tmp_path):
    write(tmp_path / "1.warc", [response("https://a.org/p.jpg", JPEG, "image/jpeg")])
    write(tmp_path / "2.warc.gz", [PUFFIN])
    assert WarcSource.accepts(str(tmp_path))
    for source in (WarcSource(tmp_path), WarcSource(f"{tmp_path}/*.warc*")):
        (item,) = source.items()
        assert item.source.caption == "On a cliff"


def test_a_picture_on_two_sites_comes_once_for_each(tmp_path):
    elsewhere = page("http://b.org/x", '<title>B</title><img src="https://a.org/p.jpg" alt="bird">')
    again = page("https://a.org/2", '<title>2</title><img src="/p.jpg" alt="seabird">')
    picture = response("https://a.org/p.jpg", JPEG, "image/jpeg")
    found = by_uri(WarcSource(write(tmp_path / "a.warc", [elsewhere, PUFFIN, again, picture])))
    assert list(found) == ["https://a.org/p.jpg", "https://a.org/p.jpg#from=b.org"]
    assert found["https://a.org/p.jpg"].source.alt_text == "a puffin\nseabird"
    assert found["https://a.org/p.jpg#from=b.org"].source.site == "b.org"
    assert all(item.data == JPEG for item in found.values())


def test_encodings_are_undone(tmp_path):
    chunked = b"".join(b"%x;x=1\r\n%s\r\n" % (len(p), p) for p in (JPEG[:100], JPEG[100:]))
    deflate = zlib.compressobj(wbits=-15)
    bare = deflate.compress(JPEG) + deflate.flush()
    sent = {
        "gzip": (["Content-Encoding: gzip"], gzip.compress(JPEG)),
        "br": (["Content-Encoding: br"], brotli.compress(JPEG)),
        "zlib": (["Content-Encoding: deflate"], zlib.compress(JPEG)),
        "bare": (["Content-Encoding: deflate"], bare),
        "chunked": (["Transfer-Encoding: chunked"], chunked + b"0\r\n\r\n"),
        "both": (
            ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(gzip.compress(JPEG)), gzip.compress(JPEG)),
        ),
        "said-only": (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], JPEG),
    }
    records = [
        response(f"https://a.org/{name}.jpg", JPEG, "image/jpeg", http=http, raw=raw)
        for name, (http, raw) in sent.items()
    ]
    found = list(WarcSource(write(tmp_path / "a.warc", records)).items())
    assert [item.data for item in found] == [JPEG] * len(sent)


@pytest.mark.parametrize(
    ("http", "raw", "reason"),
    [
        ("gzip", gzip.compress(JPEG)[:-9], reasons.TRUNCATED),
        ("gzip", gzip.compress(b"\0" * (2 << 20)), reasons.TOO_MANY_BYTES),
        ("br", brotli.compress(b"\0" * (2 << 20)), reasons.TOO_MANY_BYTES),
        ("br", b"\xff\xff nonsense", reasons.CORRUPT),
        ("br", brotli.compress(JPEG)[:-2], reasons.TRUNCATED),
        ("zstd", JPEG, reasons.BAD_RECORD),
    ],
    ids=["gzip-cut", "gzip-bomb", "br-bomb", "br-nonsense", "br-cut", "zstd"],
)
def test_bodies_that_cannot_be_had_are_counted(tmp_path, monkeypatch, http, raw, reason):
    monkeypatch.setattr(source_warc, "MAX_IMAGE_BYTES", 1 << 20)
    bad = response(
        "https://a.org/x.jpg", JPEG, "image/jpeg", http=[f"Content-Encoding: {http}"], raw=raw
    )
    good = response("https://a.org/p.jpg", PNG, "image/png")
    source = WarcSource(write(tmp_path / "a.warc.gz", [bad, good]))
    assert errors(source) == {"https://a.org/x.jpg": reason}
    assert by_uri(source)["https://a.org/p.jpg"].data == PNG


def test_resources_redirects_and_revisits(tmp_path):
    html = (
        '<img src="/old.jpg" alt="moved"><img src="/r.png" alt="kept"><img src="/again.jpg" alt=a2>'
    )
    revisit = record(
        "revisit", "https://a.org/again.jpg", b"HTTP/1.1 200 OK\r\n\r\n",
        WARC_Payload_Digest=digest(JPEG), WARC_Refers_To_Target_URI="https://a.org/new.jpg",
    )  # fmt: skip
    lost = record(
        "revisit", "https://a.org/lost.jpg", b"HTTP/1.1 200 OK\r\n\r\n",
        WARC_Payload_Digest=digest(b"other"),
    )  # fmt: skip
    records = [
        revisit,
        lost,
        page("https://a.org/", html),
        response(
            "https://a.org/old.jpg", b"", "text/html", status=301, http=["Location: /new.jpg"]
        ),
        response("https://a.org/new.jpg", JPEG, "image/jpeg"),
        record("resource", "<https://a.org/r.png>", PNG, media="image/png"),
        record("metadata", "https://a.org/r.png", b"x: y", media="application/warc-fields"),
    ]
    found = by_uri(WarcSource(write(tmp_path / "a.warc.gz", records)))
    assert {uri: item.source.alt_text for uri, item in found.items()} == {
        "https://a.org/new.jpg": "moved",
        "https://a.org/again.jpg": "a2",
        "https://a.org/r.png": "kept",
        "https://a.org/lost.jpg": "",
    }
    assert found["https://a.org/again.jpg"].data == JPEG
    assert found["https://a.org/lost.jpg"].error[0] == reasons.BAD_RECORD


def test_the_newest_capture_of_a_url_is_taken(tmp_path):
    records = [
        response("https://a.org/p.jpg", body, "image/jpeg", WARC_Date=date)
        for body, date in ((JPEG, "2024-01-02T00:00:00Z"), (PNG, "2024-01-01T00:00:00Z"))
    ]
    (item,) = WarcSource(write(tmp_path / "a.warc", records)).items()
    assert item.data == JPEG


def test_those_who_opt_out_are_left_out(tmp_path):
    shy = page("https://a.org/shy", '<meta name=robots content="NoImageIndex"><img src="/1.jpg">')
    server = page("https://a.org/ai", '<img src="/2.jpg">', http=["X-Robots-Tag: noai"])
    open_ = page("https://a.org/open", '<img src="/3.jpg"><img src="/1.jpg" alt="open">')
    pictures = [response(f"https://a.org/{n}.jpg", JPEG, "image/jpeg") for n in (1, 2)]
    own = response("https://a.org/3.jpg", JPEG, "image/jpeg", http=["X-Robots-Tag: noindex"])
    path = write(tmp_path / "a.warc", [shy, server, open_, *pictures, own])
    found = by_uri(WarcSource(path))
    assert found["https://a.org/1.jpg"].source.alt_text == "open"
    refused = {"https://a.org/2.jpg": reasons.OPTED_OUT, "https://a.org/3.jpg": reasons.OPTED_OUT}
    assert errors(WarcSource(path)) == refused
    assert errors(WarcSource(path, is_opt_out_honoured=False)) == {}


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_cut_archive_gives_what_came_before(tmp_path, name):
    pictures = [response(f"https://a.org/{n}.jpg", JPEG, "image/jpeg") for n in range(5)]
    path = write(tmp_path / name, [PUFFIN, *pictures])
    path.write_bytes(path.read_bytes()[:-120])
    source = WarcSource(path)
    found = errors(source)
    assert found.pop(str(path)) == reasons.TRUNCATED
    assert found == ({} if path.suffix == ".gz" else {"https://a.org/4.jpg": reasons.TRUNCATED})
    assert sum(item.kind == "data" for item in source.items()) == 4


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_reading_goes_on_after_a_damaged_record(tmp_path, name):
    pictures = [response(f"https://a.org/{n}.jpg", PNG + bytes([n]), "image/png") for n in range(6)]
    path = write(tmp_path / name, pictures)
    packed = [gzip.compress(one) if name.endswith("gz") else one for one in pictures]
    at = sum(map(len, packed[:2]))
    raw = bytearray(path.read_bytes())
    raw[at : at + 60] = b"#" * 60
    path.write_bytes(raw)
    found = by_uri(WarcSource(path))
    assert found[str(path)].error[0] == reasons.CORRUPT
    kept = {uri for uri, item in found.items() if item.kind == "data"}
    assert kept == {f"https://a.org/{n}.jpg" for n in (0, 1, 3, 4, 5)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", reasons.EMPTY),
        (b"<html>no archive</html>" * 50, reasons.CORRUPT),
        (b"\x1f\x8b\x08\0" + b"\7" * 500, reasons.CORRUPT),
        (b"WARC/1.0\r\n" + b"a: b\r\n" * 50_000, reasons.CORRUPT),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: -5\r\n\r\nabc", None),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99999999999\r\n\r\nabc", None),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: x\r\n\r\nabc", None),
        (gzip.compress(b"\0" * (4 << 20)), reasons.CORRUPT),
    ],
)
def test_what_is_no_archive_is_one_error(tmp_path, content, reason):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(content)
    (item,) = WarcSource(path).items()
    assert item.source.uri == str(path)
    assert item.error[0] == reason or reason is None


def test_broken_addresses_and_headers_are_survived(tmp_path):
    records = [
        response("https://a.org/é ü.jpg", JPEG, "image/jpeg"),
        response("http://[bad/x.jpg", JPEG, "image/jpeg"),
        response("urn:x.jpg", JPEG, "image/jpeg"),
        record("response", "https://a.org/nohttp.jpg", b"garbage without a header"),
        record("response", "https://a.org/empty.jpg", b""),
        response("https://a.org/nothing.jpg", b"", "image/jpeg"),
        response(
            "https://a.org/odd.jpg", JPEG, "image/jpeg; charset=\xff\0", http=["x", ": y", ""]
        ),
        page("https://a.org/", "<img src='/%C3%A9%20%C3%BC.jpg' alt=accents>"),
    ]
    source = WarcSource(write(tmp_path / "a.warc", records))
    found = by_uri(source)
    assert found["https://a.org/%C3%A9%20%C3%BC.jpg"].source.alt_text == "accents"
    assert f"{tmp_path}/a.warc#urn:x.jpg" in found
    assert found["https://a.org/nothing.jpg"].error[0] == reasons.EMPTY
    assert source.skipped == {"bad-address": 1}


def test_a_missing_archive_is_an_error_and_no_archive_at_all_raises(tmp_path):
    assert errors(WarcSource(tmp_path / "no.warc")) == {str(tmp_path / "no.warc"): reasons.VANISHED}
    with pytest.raises(SourceError):
        next(WarcSource(f"{tmp_path}/*.warc").items())


def test_a_logo_on_many_pages_is_bounded(tmp_path):
    pages = [page(f"https://a{n}.org/", '<img src="https://a.org/l.jpg" alt=x>') for n in range(90)]
    picture = response("https://a.org/l.jpg", JPEG, "image/jpeg")
    found = list(WarcSource(write(tmp_path / "a.warc", [*pages, picture])).items())
    assert len(found) == 8
