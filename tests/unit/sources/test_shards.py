"""Tar archives: WebDataset shards, patterns, damage."""

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.adapters.source_shards import ShardSource
from lookalike.domain.errors import SourceError
from lookalike.domain.sources import split_archive_uri

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 60


def make_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(number, **words):
    key = f"{number:09d}"
    words = {"caption": f"picture {number}", "url": f"https://x.org/{number}.jpg"} | words
    return [
        (f"{key}.jpg", JPEG + bytes([number % 256])),
        (f"{key}.json", json.dumps(words | {"key": key, "status": "success"}).encode()),
        (f"{key}.txt", b"the text member"),
    ]


def test_a_shard_of_img2dataset(tmp_path):
    members = [*sample(1, license="CC0"), *sample(2, caption=None), ("000000003.jpg", JPEG)]
    shard = make_tar(tmp_path / "00000.tar", members)
    one, two, three = ShardSource(shard).items()
    assert one.source.uri == f"{shard}#000000001.jpg"
    assert split_archive_uri(one.source.uri) == (str(shard), "000000001.jpg")
    assert (one.kind, one.data) == ("data", JPEG + b"\x01")
    assert (one.source.caption, one.source.licence) == ("picture 1", "cc0")
    assert (one.source.page_url, one.source.site) == ("https://x.org/1.jpg", "x.org")
    assert two.source.caption == "the text member"
    assert three.source.caption == ""


def test_folders_patterns_and_missing_shards(tmp_path, monkeypatch):
    for number in (0, 1, 10, 2):
        make_tar(tmp_path / f"s{number}.tar", sample(number))
    (tmp_path / "00000_stats.json").write_text("{}")
    captions = [item.source.caption for item in ShardSource(tmp_path).items()]
    assert captions == ["picture 0", "picture 1", "picture 2", "picture 10"]
    items = list(ShardSource(f"{tmp_path}/s{{0..3}}.tar").items())
    assert [item.kind for item in items] == ["data", "data", "data", "error"]
    assert items[3].error == ("vanished", "no such shard")
    assert len(list(ShardSource(f"{tmp_path}/s1*.tar").items())) == 2
    monkeypatch.chdir(tmp_path)
    assert next(ShardSource("s1.tar").items()).source.uri.startswith(str(tmp_path))


def test_no_shard_at_all(tmp_path):
    with pytest.raises(SourceError, match="no tar"):
        list(ShardSource(f"{tmp_path}/*.tar").items())


def test_gzipped_shards_by_their_bytes(tmp_path):
    plain = make_tar(tmp_path / "a.tar", [m for n in range(9) for m in sample(n)])
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "c.tar").write_bytes(gzip.compress(plain.read_bytes()))
    for name in ("b.tar.gz", "c.tar"):
        assert len(list(ShardSource(tmp_path / name).items())) == 9


def test_what_came_before_damage_is_kept(tmp_path):
    whole = make_tar(tmp_path / "w.tar", [m for n in range(5) for m in sample(n)]).read_bytes()
    kept = []
    for cut in range(0, len(whole), 512):
        (tmp_path / "cut.tar").write_bytes(whole[: cut + 100])
        items = list(ShardSource(tmp_path / "cut.tar").items())
        data = [item for item in items if item.kind == "data"]
        kept.append(len(data))
        if cut + 100 < 30 * 512:  # inside the members
            assert items[-1].kind == "error"
            assert items[-1].source.uri == f"{tmp_path}/cut.tar"
        assert len(items) - len(data) <= 1
    assert kept == sorted(kept)
    assert kept[-1] == 5


def test_a_broken_header_in_the_middle(tmp_path):
    data = bytearray(make_tar(tmp_path / "w.tar", sample(1) + sample(2)).read_bytes())
    data[6 * 512 + 10 : 6 * 512 + 200] = b"\xff" * 190
    (tmp_path / "w.tar").write_bytes(data)
    items = list(ShardSource(tmp_path / "w.tar").items())
    assert [item.kind for item in items] == ["data", "error"]
    assert items[1].error[0] == "corrupt" or items[1].error[0] == "truncated"


@pytest.mark.parametrize(("data", "reason"), [(b"", "empty-file"), (b"junk" * 400, "corrupt")])
def test_files_that_are_no_tar(tmp_path, data, reason):
    (tmp_path / "a.tar").write_bytes(data)
    (item,) = ShardSource(tmp_path / "a.tar").items()
    assert item.error[0] == reason


def test_members_over_the_bound_are_refused_unread(tmp_path):
    shard = make_tar(tmp_path / "a.tar", [("1.jpg", JPEG), ("2.jpg", b"x" * 5000), ("3.jpg", JPEG)])
    items = list(ShardSource(shard, max_member_bytes=1000).items())
    assert [item.kind for item in items] == ["data", "error", "data"]
    assert items[1].error[0] == "too-many-bytes"


def test_a_header_that_claims_gigabytes_reads_nothing(tmp_path):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 6 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 2048)
    (item,) = ShardSource(tmp_path / "a.tar").items()
    assert item.error[0] == "corrupt"


def test_nothing_is_written_and_only_files_count(tmp_path):
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name in ("../../escape.jpg", "/abs.jpg", "._a.jpg", "dir/notes.md"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"\xff\xd8\xff\0"))
    items = list(ShardSource(shard).items())
    assert [item.source.uri.split("#")[1] for item in items] == ["../../escape.jpg", "/abs.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_one_key_for_everything_stays_bounded(tmp_path):
    shard = make_tar(tmp_path / "a.tar", [("k.jpg", JPEG)] * 50)
    items = ShardSource(shard).items()
    assert len(list(items)) == 50


def test_names_that_are_not_utf8(tmp_path):
    with tarfile.open(
        tmp_path / "a.tar", "w", encoding="utf-8", errors="surrogateescape",
        format=tarfile.GNU_FORMAT,
    ) as tar:  # fmt: skip
        info = tarfile.TarInfo("caf\udce9.jpg")
        info.size = 4
        tar.addfile(info, io.BytesIO(JPEG[:4]))
    (item,) = ShardSource(tmp_path / "a.tar").items()
    item.source.uri.encode("utf-8")
    assert split_archive_uri(item.source.uri) == (f"{tmp_path}/a.tar", "caf\udce9.jpg")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 9000), junk=st.binary(min_size=1, max_size=600))
def test_any_damage_is_items(tmp_path, at, junk):
    whole = bytearray(make_tar(tmp_path / "w.tar", sample(1) + sample(2)).read_bytes())
    whole[at : at + len(junk)] = junk
    (tmp_path / "d.tar").write_bytes(whole)
    for item in ShardSource(tmp_path / "d.tar").items():
        item.source.uri.encode("utf-8")


def test_what_it_accepts(tmp_path):
    assert ShardSource.accepts("a.tar.gz")
    assert ShardSource.accepts("s/{00..12}.tar")
    assert not ShardSource.accepts("https://x.org/a.tar")
    assert not ShardSource.accepts(str(tmp_path))
    make_tar(tmp_path / "00000.tar", [])
    assert ShardSource.accepts(str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert not ShardSource.accepts(str(tmp_path))
