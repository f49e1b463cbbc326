"""Folders, globs and named files."""

import os
import stat

import pytest

from lookalike.adapters.source_folder import FilesSource, FolderSource, GlobSource
from lookalike.domain.errors import SourceError
from lookalike.domain.sources import path_of_uri

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 60


def test_a_tree_is_listed_depth_first_in_name_order(touch, below):
    root = touch("b/2.jpg", "a.png", "c.HEIC", "b/1.jpg", "b/deep/0.webp", "z.svg")
    source = FolderSource(root)
    items = list(source.items())
    assert below(items) == ["a.png", "c.HEIC", "z.svg", "b/1.jpg", "b/2.jpg", "b/deep/0.webp"]
    assert {item.kind for item in items} == {"path"}
    assert items[0].path == root / "a.png"
    assert source.count() == 6
    assert source.prefix == f"{root}/"
    assert all(item.source.uri.startswith(source.prefix) for item in items)


def test_other_files_are_counted_not_listed(touch, below):
    root = touch("a.jpg", ".hidden.jpg", ".git/x.jpg", "@eaDir/t.jpg", "__MACOSX/._a.jpg")
    touch("notes.md", "video.mp4", data=b"hello")
    source = FolderSource(root)
    assert below(source.items()) == ["a.jpg"]
    assert source.skipped == {"hidden": 2, "system-folder": 2, "not-a-picture": 2}


def test_a_file_without_a_suffix_is_told_by_its_bytes(touch, below):
    root = touch("4fd1a6", "sub.dir/README", data=JPEG)
    touch("LICENSE", "empty", data=b"")
    assert below(FolderSource(root).items()) == ["4fd1a6", "sub.dir/README"]


def test_an_index_and_skipped_folders_are_passed_over(touch, below):
    root = touch("a.jpg", "my.index/blobs/t.webp", "other/b.jpg")
    touch("my.index/index.toml", "my.index/catalog.sqlite", data=b"")
    assert below(FolderSource(root).items()) == ["a.jpg", "other/b.jpg"]
    assert below(FolderSource(root, skip=[root / "other"]).items()) == ["a.jpg"]


def test_links_are_followed_and_never_loop(touch, below):
    root = touch("pics/real/1.jpg", "elsewhere/2.jpg", "elsewhere/deep/3.jpg")
    pics = root / "pics"
    (pics / "a-link").symlink_to(pics / "real")  # listed once, by its real name
    (pics / "out").symlink_to(root / "elsewhere")
    (pics / "real" / "up").symlink_to(pics)
    (pics / "above").symlink_to(root)
    (root / "elsewhere" / "back").symlink_to(pics)
    (pics / "self").symlink_to(pics / "self")
    (pics / "0.jpg").symlink_to(pics / "real" / "1.jpg")
    source = FolderSource(pics)
    items = list(source.items())
    assert below(items) == [
        "pics/0.jpg",
        "pics/real/1.jpg",
        "pics/out/2.jpg",
        "pics/out/deep/3.jpg",
    ]
    assert source.skipped["already-listed"] == 4


def test_dangling_and_odd_files_are_error_items(touch, below):
    root = touch("ok.jpg")
    (root / "gone.jpg").symlink_to(root / "nothing")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    os.mkfifo(root / "pipe.jpg")
    items = {below([item])[0]: item for item in FolderSource(root).items()}
    assert items["gone.jpg"].error[0] == "vanished"
    assert items["loop.jpg"].error[0] == "unreadable"
    assert items["pipe.jpg"].error[0] == "not-an-image"
    assert items["ok.jpg"].kind == "path"


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions bind (not root)")
def test_an_unreadable_folder_speaks_for_what_is_below(touch, below):
    root = touch("a.jpg", "locked/b.jpg", "z/c.jpg")
    (root / "locked").chmod(0)
    try:
        items = list(FolderSource(root).items())
    finally:
        (root / "locked").chmod(stat.S_IRWXU)
    assert below(items) == ["a.jpg", "locked/", "z/c.jpg"]
    assert items[1].error[0] == "unreadable"


def test_a_folder_that_fails_to_list_speaks_for_what_is_below(touch, below, monkeypatch):
    root = touch("a.jpg", "locked/b.jpg", "z/c.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    items = list(FolderSource(root).items())
    assert below(items) == ["a.jpg", "locked/", "z/c.jpg"]
    assert items[1].error == ("unreadable", "Permission denied")


def test_a_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        next(FolderSource(tmp_path / "none").items())


def test_names_that_are_not_utf8_survive(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9/b\xff.jpg"
    os.mkdir(os.path.dirname(raw))
    with open(raw, "wb") as file:
        file.write(JPEG)
    (item,) = FolderSource(tmp_path).items()
    item.source.uri.encode("utf-8")
    assert os.fsencode(path_of_uri(item.source.uri)) == raw
    assert item.path is not None
    assert item.path.read_bytes() == JPEG


def test_fingerprints_change_with_the_file_and_its_words(touch):
    root = touch("a.jpg")

    def fingerprint():
        return next(FolderSource(root).items()).source.fingerprint

    first = fingerprint()
    assert fingerprint() == first
    os.utime(root / "a.jpg", ns=(1, 1))
    second = fingerprint()
    assert second != first
    (root / "a.txt").write_text("a dog")
    third = fingerprint()
    assert third.startswith(second + "+")
    (root / "a.txt").write_text("a cat")
    assert fingerprint() != third


def test_sidecars(touch):
    root = touch("a.jpg", "b.jpg", "c.jpg")
    (root / "a.txt").write_bytes(b"\xef\xbb\xbfa dog\r\n")
    (root / "a.json").write_text(
        '{"caption": null, "url": "https://x.org/a.jpg", "license": "CC0"}'
    )
    (root / "b.json").write_text("{broken")
    (root / "labels.jsonl").write_text('{"file": "c.jpg", "caption": "not read"}\n')
    source = FolderSource(root)
    one, two, three = source.items()
    assert (one.source.caption, one.source.licence) == ("a dog", "cc0")
    assert (one.source.page_url, one.source.site) == ("https://x.org/a.jpg", "x.org")
    assert two.source.caption == three.source.caption == ""
    assert source.skipped["bad-sidecar"] == 1


def test_listing_is_lazy(touch):
    root = touch(*(f"{i}/a.jpg" for i in range(5)))
    items = FolderSource(root).items()
    next(items)
    touch("4/b.jpg")
    assert len(list(items)) == 5


def test_counting_gives_up_when_it_takes_long(touch):
    times = iter([0.0, 5.0])
    assert FolderSource(touch("a.jpg"), clock=lambda: next(times)).count() is None


def test_globs(touch, below):
    root = touch("a.jpg", "b/c.jpg", "b/d/e.jpg", "b/f.png", ".h/x.jpg", "b/notes.txt")
    assert below(GlobSource(f"{root}/**/*.jpg").items()) == ["a.jpg", "b/c.jpg", "b/d/e.jpg"]
    assert below(GlobSource(f"{root}/*/*").items()) == ["b/c.jpg", "b/f.png"]
    assert below(GlobSource(f"{root}/b/*.{{png,jpg}}").items()) == ["b/f.png", "b/c.jpg"]
    assert below(GlobSource(f"{root}/{{a,z}}.jpg").items()) == ["a.jpg", "z.jpg"]
    assert list(GlobSource(f"{root}/*.tiff").items()) == []
    assert GlobSource(f"{root}/**/*.jpg").prefix is None


def test_a_glob_below_no_folder_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError):
        list(GlobSource(f"{tmp_path}/none/*.jpg").items())


def test_a_relative_glob(touch, below, monkeypatch):
    monkeypatch.chdir(touch("a.jpg", "sub/b.jpg"))
    assert below(GlobSource("*.jpg").items()) == ["a.jpg"]
    assert below(GlobSource("**/*.jpg").items()) == ["a.jpg", "sub/b.jpg"]


def test_named_files(touch, below):
    root = touch("a.weird", "b.jpg")
    (root / "b.txt").write_text("a bee")
    items = list(FilesSource([root / "a.weird", root / "b.jpg", root / "none.jpg", root]).items())
    assert [item.kind for item in items] == ["path", "path", "error", "error"]
    assert items[1].source.caption == "a bee"
    assert items[2].error[0] == "vanished"


def test_what_each_accepts(touch, monkeypatch):
    root = touch("a.jpg", "odd[1].jpg")
    assert FolderSource.accepts(str(root))
    assert not FolderSource.accepts(str(root / "a.jpg"))
    assert FilesSource.accepts(str(root / "a.jpg"))
    assert GlobSource.accepts("~/pics/**/*.jpg")
    assert not GlobSource.accepts(str(root / "odd[1].jpg"))
    assert not GlobSource.accepts("https://x.org/a?b=c*")
