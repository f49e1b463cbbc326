"""Bad pictures, damaged indexes, full and read-only disks: said, and the rest stays whole."""

import io
import os
import shutil
import sqlite3
import struct
import subprocess
import zlib
from contextlib import contextmanager

import pytest
from PIL import Image

from lookalike.domain.images import image_id
from tests.tiny_bundle import make_bundle
from tests.toy import fill_folder, picture

pytestmark = pytest.mark.timeout(300)


def assert_refused(done, code, *words):
    assert done.code == code, done
    assert "Traceback" not in done.out + done.err
    assert done.err.startswith("error: ")
    for word in words:
        assert word in done.err


# ── Pictures ─────────────────────────────────────────────────────────────────────────────


def _png_of(width, height, data):
    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _saved(image, *args, **options):
    buffer = io.BytesIO()
    image.save(buffer, *args, **options)
    return buffer.getvalue()


def _animation():
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def _broken_exif():
    whole = picture("brown", seed=77)
    segment = b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"

REFUSED = {
    "truncated.jpg": (picture("red", seed=1)[:400], "truncated"),
    "empty.png": (b"", "empty-file"),
    "words.jpg": (b"these are only words " * 20, "not-an-image"),
    "script.svg": (SCRIPT, "unsupported-format"),
    "script.jpg": (SCRIPT, "unsupported-format"),
    "bomb.png": (_png_of(60_000, 60_000, zlib.compress(bytes(1 << 20))), "too-many-pixels"),
    "noise.gif": (b"GIF89a" + os.urandom(300), None),
    "noise.webp": (b"RIFF\x40\0\0\0WEBPVP8 " + bytes(56), None),
    "noise.png": (b"\x89PNG\r\n\x1a\n" + bytes(300), None),
    "noise.tif": (b"II*\0\x08\0\0\0" + b"\xff" * 300, None),
}
TAKEN = {
    "a-png.jpg": _saved(Image.new("RGB", (50, 40), "navy"), "PNG"),
    "moving.gif": _animation(),
    "large.png": _saved(Image.new("L", (10_000, 10_000), 90), "PNG"),
    "exif.jpg": _broken_exif(),
    "no-suffix": picture("purple", seed=8),
}


def test_every_bad_picture_is_counted_and_the_others_are_taken(commands, tiny_bundle, tmp_path):
    folder, index = tmp_path / "pictures", tmp_path / "index"
    fill_folder(folder / "good", 12)
    for name, (data, _) in REFUSED.items():
        (folder / name).write_bytes(data)
    for name, data in TAKEN.items():
        (folder / name).write_bytes(data)
    odd = picture("green", seed=99)
    with open(os.path.join(os.fsencode(folder), b"caf\xe9-\xff.jpg"), "wb") as file:
        file.write(odd)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "good" / "up").symlink_to("..")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "nowhere.jpg").symlink_to("there-is-no-such-file.jpg")
    done = commands.run("index", folder, "--index", index, "--encoder", tiny_bundle, "--json")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.json["added"] == 12 + len(TAKEN) + 1
    refused = commands.run("status", "--index", index, "--json").json["failures"]
    for reason in {reason for _, reason in REFUSED.values() if reason}:
        assert refused[reason] >= 1
    # Beside those above: the pipe, and the link to itself; a dangling link has vanished.
    assert sum(refused.values()) == len(REFUSED) + 2
    assert done.json["vanished"] == 1
    for data in (*TAKEN.values(), odd):
        assert commands.run("show", image_id(data), "--index", index).code == 0
    again = commands.run("index", folder, "--index", index, "--json")
    assert (again.json["added"], again.json["known"]) == (0, done.json["added"])
    assert again.json["failed"] == done.json["failed"]
    assert_whole(commands, index, done.json["added"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_picture_is_no_query(commands, index, tmp_path, name):
    (tmp_path / name).write_bytes(REFUSED[name][0])
    assert_refused(commands.run("similar", tmp_path / name, "--index", index.path), 2, name)


def test_bounds_on_pixels_and_bytes_can_be_set(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 3)
    argv = ("index", tmp_path / "pictures", "--encoder", tiny_bundle, "--json", "--index")
    for variable, reason in (("PIXELS", "too-many-pixels"), ("BYTES", "too-many-bytes")):
        env = {f"LOOKALIKE_MAX_{variable}": "100"}
        done = commands.run(*argv, tmp_path / variable, env=env)
        assert (done.code, done.json["failed"]) == (1, {reason: 3})
    assert_refused(commands.run("status", env={"LOOKALIKE_THREADS": "many"}), 2, "THREADS", "many")


def test_a_source_that_is_not_there(commands, tiny_bundle, tmp_path):
    argv = ("--encoder", tiny_bundle, "--index", tmp_path / "index")
    nothing = commands.run("index", tmp_path / "nothing", *argv)
    assert_refused(nothing, 2, "there is no", "nothing")
    itself = commands.run("index", tmp_path / "index", *argv)
    assert_refused(itself, 2, "the index itself")
    (tmp_path / "empty").mkdir()
    done = commands.run("index", tmp_path / "empty", *argv, "--json")
    assert (done.code, done.json["added"]) == (0, 0)
    assert commands.run("search", "red", *argv[2:], "--json").code == 1


def test_only_folders_are_watched(commands, tiny_bundle, tmp_path):
    [path] = fill_folder(tmp_path / "pictures", 1)
    argv = ("--encoder", tiny_bundle, "--index", tmp_path / "index")
    assert_refused(commands.run("index", path, "--watch", *argv), 2, "only folders")
    assert not (tmp_path / "index").exists()


# ── Damaged indexes ──────────────────────────────────────────────────────────────────────


class Kept:
    """An index of 20 pictures, and copies of it to damage."""

    def __init__(self, commands, bundle, root):
        self.bundle = make_bundle(root / "bundle")
        self.path = root / "index"
        fill_folder(root / "pictures", 20)
        done = commands.run(
            "index", root / "pictures", "--index", self.path, "--encoder", self.bundle, "--json"
        )
        assert done.json["added"] == 20, done

    def copy(self, place):
        shutil.copytree(self.path, place)
        return place


@pytest.fixture(scope="module")
def index(commands, tiny_bundle, tmp_path_factory):
    return Kept(commands, tiny_bundle, tmp_path_factory.mktemp("kept"))


def assert_whole(commands, index, count):
    doctor = commands.run("doctor", "--index", index, "--json")
    assert doctor.code == 0, doctor
    status = commands.run("status", "--index", index, "--json").json
    assert (status["images"], status["up_to_date"]) == (count, True)
    found = commands.run("search", "red or blue", "--index", index, "--json", "-k", "1000")
    ids = [hit["id"] for hit in found.json["hits"]]
    assert len(ids) == len(set(ids)) == count


def test_what_is_no_index_is_said(commands, tmp_path):
    for argv in (("search", "red"), ("status",), ("show", "abcd"), ("copies",), ("optimize",)):
        missing = commands.run(*argv, "--index", tmp_path / "none")
        assert_refused(missing, 3, "there is no index", "make one with")
    (tmp_path / "file").write_text("hello")
    assert_refused(commands.run("search", "red", "--index", tmp_path / "file"), 3, "not a folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("hello")
    assert_refused(commands.run("search", "red", "--index", tmp_path / "full"), 3, "no index")


def test_an_index_is_only_made_in_a_folder_of_its_own(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 2)
    argv = ("index", tmp_path / "pictures", "--encoder", tiny_bundle, "--index")
    (tmp_path / "file").write_text("hello")
    assert_refused(commands.run(*argv, tmp_path / "file"), 2, "is a file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("hello")
    assert_refused(commands.run(*argv, tmp_path / "full"), 2, "not empty")
    assert os.listdir(tmp_path / "full") == ["letter.txt"]
    assert_refused(commands.run(*argv, "/proc/none/index"), 3, "cannot make an index")


def _write(name, data):
    def damage(index):
        (index / name).write_bytes(data)

    return damage


def _cut(name, share=0.5):
    def damage(index):
        data = (index / name).read_bytes()
        (index / name).write_bytes(data[: int(len(data) * share)])

    return damage


def _lose(name):
    def damage(index):
        path = index / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def _newer_manifest(index):
    path = index / "index.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 2"))


def _newer_catalog(index):
    with sqlite3.connect(index / "catalog.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _foreign_catalog(index):
    _lose("catalog.sqlite")(index)
    with sqlite3.connect(index / "catalog.sqlite") as connection:
        connection.execute("CREATE TABLE songs(title TEXT)")
    connection.close()


MATRIX = "spaces/tiny/matrix.f16"
FATAL = {
    "manifest of a newer format": (_newer_manifest, "newer Lookalike"),
    "manifest of garbage": (_write("index.toml", b"\xff\xfe garbage"), "index.toml"),
    "manifest of other TOML": (_write("index.toml", b"format = 1\n"), "names no space"),
    "manifest without a format": (_write("index.toml", b"a = 1\n"), "no format"),
    "empty manifest": (_write("index.toml", b""), "no format"),
    "catalog of a newer format": (_newer_catalog, "format 99"),
    "catalog of garbage": (_write("catalog.sqlite", os.urandom(8192)), "catalog.sqlite"),
    "catalog of something else": (_foreign_catalog, "not a Lookalike catalog"),
    "catalog cut short": (_cut("catalog.sqlite"), "catalog.sqlite"),
    "matrix of garbage": (_write(MATRIX, os.urandom(8192)), "matrix"),
    "matrix cut short": (_cut(MATRIX), "matrix"),
    "matrix lost": (_lose(MATRIX), "matrix"),
    "column cut short": (_cut("columns/width.u4"), "width.u4"),
    "columns lost": (_lose("columns"), "columns"),
}


@pytest.mark.parametrize("name", FATAL)
def test_an_index_that_cannot_be_read_is_refused(commands, index, tmp_path, name):
    damage, word = FATAL[name]
    copy = index.copy(tmp_path / "index")
    damage(copy)
    for argv in (("search", "red"), ("index", tmp_path)):
        assert_refused(commands.run(*argv, "--index", copy), 3, word)
    doctor = commands.run("doctor", "--index", copy)
    assert doctor.code == 3
    assert "Traceback" not in doctor.err


def test_a_lost_catalog_does_not_pass_for_an_empty_index(commands, index, tmp_path):
    copy = index.copy(tmp_path / "index")
    (copy / "catalog.sqlite").unlink()
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (copy / name).unlink(missing_ok=True)
    assert_refused(commands.run("search", "red", "--index", copy), 3, "catalog")
    assert (copy / MATRIX).stat().st_size > 64, "the vectors may not be cut away"


def _garble_text(index):
    for path in (index / "text").iterdir():
        if path.suffix in {".idx", ".term", ".pos", ".fast"}:
            path.write_bytes(os.urandom(len(path.read_bytes())))


DERIVED = {
    "text lost": _lose("text"),
    "text's list lost": _lose("text/meta.json"),
    "text's list of garbage": _write("text/meta.json", b"garbage"),
    "text's files of garbage": _garble_text,
    "bitmaps lost": _lose("columns/bitmaps"),
    "bitmaps of garbage": _write("columns/bitmaps", os.urandom(100)),
    "lock file lost": _lose("index.lock"),
    "lock file of garbage": _write("index.lock", b"\xff garbage"),
}


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_derived_is_made_again(commands, index, tmp_path, name):
    copy = index.copy(tmp_path / "index")
    DERIVED[name](copy)
    found = commands.run("search", "yellow", "--index", copy, "--json", "-k", "1")
    assert found.code == 0, found
    assert found.json["degraded"] == []
    assert found.json["hits"][0]["parts"]["bm25"] > 0
    assert_whole(commands, copy, 20)


def test_a_lost_thumbnail_costs_no_answer(commands, index, tmp_path):
    copy = index.copy(tmp_path / "index")
    shutil.rmtree(copy / "blobs")
    argv = ("search", "yellow", "--index", copy, "-k", "3")
    assert commands.run(*argv, "--sheet", tmp_path / "sheet.png").code == 0
    doctor = commands.run("doctor", "--index", copy, "--json")
    states = {check["name"]: check["state"] for check in doctor.json["checks"]}
    assert states["thumbnails"] == "warning"


# ── Models ───────────────────────────────────────────────────────────────────────────────


def test_models_that_are_missing_or_damaged_are_said(commands, index, tmp_path):
    copy = index.copy(tmp_path / "index")
    bundle = shutil.copytree(index.bundle, tmp_path / "bundle")
    manifest = (copy / "index.toml").read_text()
    (copy / "index.toml").write_text(manifest.replace(str(index.bundle), str(bundle)))
    search = ("search", "red", "--index", copy)
    assert commands.run(*search).code == 0
    model = (bundle / "text.onnx").read_bytes()
    (bundle / "text.onnx").write_bytes(b"garbage" * 100)
    damaged = commands.run(*search, "--json")
    assert "Traceback" not in damaged.err
    assert damaged.code in {0, 3}
    if damaged.code == 0:
        assert any("text.onnx" in note for note in damaged.json["degraded"])
    assert commands.run("models", "verify", bundle).code == 3
    (bundle / "text.onnx").write_bytes(model)
    (bundle / "image.onnx").unlink()
    assert_refused(commands.run(*search), 3, "image.onnx", "again")
    (bundle / "bundle.toml").write_text("format = [")
    assert_refused(commands.run(*search), 3, "bundle.toml")
    shutil.rmtree(bundle)
    assert_refused(commands.run(*search), 3, "bundle")


def test_another_encoder_is_refused(commands, index, tmp_path):
    copy = index.copy(tmp_path / "index")
    other = make_bundle(tmp_path / "other", seed=1)
    fill_folder(tmp_path / "pictures", 2)
    done = commands.run("index", tmp_path / "pictures", "--index", copy, "--encoder", other)
    assert_refused(done, 3, "filled by", "new folder")
    assert_refused(
        commands.run("index", tmp_path / "pictures", "--index", copy, "--encoder", "nonsense"),
        3, "nonsense", "known: lite",
    )  # fmt: skip
    assert_whole(commands, copy, 20)


# ── Disks ────────────────────────────────────────────────────────────────────────────────


def mount(*argv):
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount a file system")
    done = subprocess.run(["mount", *argv], capture_output=True, check=False, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")


@contextmanager
def small_disk(place, size):
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_stops_the_run_and_the_next_goes_on(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 300)
    acknowledged = tmp_path / "acknowledged"
    with small_disk(tmp_path / "disk", "1m") as disk:
        index = disk / "index"
        argv = ("index", tmp_path / "pictures", "--index", index, "--encoder", tiny_bundle)
        values = {"lookalike.engine.ingest:BATCH": 8}
        full = commands.run(*argv, acknowledged=str(acknowledged), values=values)
        assert_refused(full, 3, "no space is left")
        ids = acknowledged.read_text().split()
        assert 0 < len(ids) < 300
        every = ("--json", "-k", "1000", "--all-copies")
        found = commands.run("search", "red", "--index", index, *every)
        assert found.code == 0, found
        assert set(ids) <= {hit["id"] for hit in found.json["hits"]}
        again = commands.run(*argv, values=values)
        assert_refused(again, 3, "no space is left")
        mount("-o", "remount,size=40m", str(disk))
        rest = commands.run(*argv, "--json")
        assert rest.code == 0, rest
        assert rest.json["known"] >= len(ids)
        assert_whole(commands, index, 300)


def test_a_full_disk_at_the_very_start(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 3)
    with small_disk(tmp_path / "disk", "4k") as disk:
        (disk / "filler").write_bytes(bytes(4096))
        argv = ("index", tmp_path / "pictures", "--index", disk / "index", "--encoder", tiny_bundle)
        done = commands.run(*argv)
        assert_refused(done, 3, "pace")
        mount("-o", "remount,size=10m", str(disk))
        assert commands.run(*argv, "--json").json["added"] == 3


def test_an_index_on_a_read_only_disk_is_searched(commands, index, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 25)
    with small_disk(tmp_path / "disk", "20m") as disk:
        copy = index.copy(disk / "index")
        mount("-o", "remount,ro", str(disk))
        found = commands.run("search", "red", "--index", copy, "--json", "-k", "100")
        assert found.code == 0, found
        assert len(found.json["hits"]) == 20
        assert commands.run("status", "--index", copy, "--json").json["images"] == 20
        done = commands.run("index", tmp_path / "pictures", "--index", copy)
        assert_refused(done, 3, "rights")
        first = found.json["hits"][0]["id"]
        assert_refused(commands.run("remove", first, "--index", copy), 3, "rights")
        new = commands.run(
            "index", tmp_path / "pictures", "--index", disk / "new", "--encoder", tiny_bundle
        )
        assert_refused(new, 3, "cannot make an index")
