"""The commands as scripts and people run them: output, exit codes, signals."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lookalike import __version__
from lookalike.domain.images import image_id
from tests.tiny_bundle import make_bundle
from tests.toy import COLOURS, fill_folder, picture

pytestmark = pytest.mark.timeout(300)

ODD_NAME = b"green-caf\xe9.jpg"
HIT_KEYS = {
    "id", "path", "score", "relevance", "parts", "why", "width", "height", "type", "title",
    "labels", "licence", "copies", "objects",
}  # fmt: skip


class Shop:
    """An index of 32 pictures in a folder, and commands on it."""

    def __init__(self, commands, bundle, root):
        self._commands = commands
        self.bundle = bundle
        self.pictures = root / "pictures"
        self.index = root / "shop.index"

    def fill(self):
        paths = fill_folder(self.pictures, 30)
        paths[0].with_suffix(".txt").write_text("a pillar box \x1b[31m<b>bold</b>")
        copy = io.BytesIO()
        Image.open(paths[1]).save(copy, "WEBP", quality=80)
        (self.pictures / "again.webp").write_bytes(copy.getvalue())
        with open(os.path.join(os.fsencode(self.pictures), ODD_NAME), "wb") as file:
            file.write(picture("green", seed=500))
        return self.run(
            "index", self.pictures, "--encoder", self.bundle, "--licence", "CC0", "--json"
        )

    def run(self, *argv, **setup):
        return self._commands.run(*self._whole(argv), **setup)

    def start(self, *argv, **setup):
        return self._commands.start(*self._whole(argv), **setup)

    def _whole(self, argv):
        features = ("--no-objects", "--no-ocr", "--copies", "balanced")
        return (*argv, *(features if argv[0] == "index" else ()), "--index", self.index)

    def ask(self, *argv, **setup):
        """Run a command that is to succeed, and return its JSON object."""
        done = self.run(*argv, "--json", **setup)
        assert (done.code, done.err) == (0, "")
        return done.json

    def id(self, name):
        return image_id((self.pictures / name).read_bytes())


@pytest.fixture(scope="module")
def shop(commands, tiny_bundle, tmp_path_factory):
    """An index that tests only read."""
    shop = Shop(commands, tiny_bundle, tmp_path_factory.mktemp("shop"))
    assert shop.fill().code == 0
    return shop


@pytest.fixture
def own_shop(commands, tiny_bundle, tmp_path):
    """An index that a test may change."""
    shop = Shop(commands, tiny_bundle, tmp_path)
    assert shop.fill().code == 0
    return shop


def assert_refused(done, code, *words):
    """A refusal has its exit code, says why and what to do, and is no traceback."""
    assert done.code == code, done
    assert "Traceback" not in done.out + done.err
    assert done.err.startswith("error: ")
    for word in words:
        assert word in done.err


# ── Shapes ───────────────────────────────────────────────────────────────────────────────


def test_index_ends_with_one_line_of_what_it_did(commands, tiny_bundle, tmp_path):
    shop = Shop(commands, tiny_bundle, tmp_path)
    first = shop.fill()
    assert (first.code, first.err) == (0, "")
    assert len(first.out.splitlines()) == 1
    assert {"added", "known", "failed", "images_per_s", "seconds"} <= set(first.json)
    assert (first.json["added"], first.json["known"], first.json["failed"]) == (32, 0, {})
    (shop.pictures / "broken.jpg").write_bytes(picture()[:300])
    (shop.pictures / "empty.png").write_bytes(b"")
    again = shop.run("index", shop.pictures, "--json")
    assert again.code == 1
    assert (again.json["added"], again.json["known"]) == (0, 32)
    assert again.json["failed"] == {"truncated": 1, "empty-file": 1}
    listed = map(json.loads, Path(again.json["refusals"]).read_text("utf-8").splitlines())
    assert {(os.path.basename(one["uri"]), one["reason"]) for one in listed} == {
        ("broken.jpg", "truncated"), ("empty.png", "empty-file"),
    }  # fmt: skip


def test_search_and_similar_give_one_object(shop):
    path = shop.pictures / "pink-0008.jpg"
    for argv in (("search", "pink"), ("similar", path), ("similar", shop.id("pink-0008.jpg"))):
        answer = shop.ask(*argv, "-k", "3")
        assert set(answer) == {
            "query", "hits", "total", "no_good_match", "degraded", "timings_ms", "next",
        }  # fmt: skip
        assert len(answer["hits"]) == 3
        assert set(answer["hits"][0]) == HIT_KEYS
        assert answer["degraded"] == []
        assert answer["hits"][0]["licence"] == "cc0"
        scores = [hit["score"] for hit in answer["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= hit["relevance"] <= 1 for hit in answer["hits"])
        assert "pink" in answer["hits"][0]["path"]
    begun = shop.ask("similar", shop.id("pink-0008.jpg")[:6], "-k", "1")
    assert begun["hits"][0]["path"] == str(path)


def test_words_and_a_region_shape_a_search_by_picture(shop, tmp_path):
    halves = Image.new("RGB", (64, 32), COLOURS["blue"])
    halves.paste(COLOURS["orange"], (32, 0, 64, 32))
    halves.save(tmp_path / "halves.png")
    left = shop.ask("similar", tmp_path / "halves.png", "--region", "0,0,0.5,1", "-k", "1")
    right = shop.ask("similar", tmp_path / "halves.png", "--region", "0.5,0,0.5,1", "-k", "1")
    assert "blue" in left["hits"][0]["path"]
    assert "orange" in right["hits"][0]["path"]
    mixed = shop.ask(
        "similar", tmp_path / "halves.png", "--region", "0,0,0.5,1", "--text", "3:yellow", "-k", "1"
    )
    assert "yellow" in mixed["hits"][0]["path"]


def test_filters_leave_only_what_meets_them(shop):
    answer = shop.ask("search", "red", "--color", "yellow", "-k", "20")
    assert {hit["path"].rsplit("/", 1)[-1][:6] for hit in answer["hits"]} == {"yellow"}
    assert shop.ask("search", "red color:yellow", "-k", "20")["hits"] == answer["hits"]
    nothing = shop.run("search", "red", "--min-width", "4000", "--json")
    assert (nothing.code, nothing.json["hits"]) == (1, [])
    said = shop.run("search", "red", "--min-width", "4000")
    assert (said.code, said.out) == (1, "Nothing found.\n")


def test_a_cursor_goes_on_in_another_process(shop):
    whole = [hit["id"] for hit in shop.ask("search", "blue", "-k", "32")["hits"]]
    seen, cursor = [], ()
    while cursor is not None:
        page = shop.ask("search", "blue", "-k", "13", *cursor)
        seen += [hit["id"] for hit in page["hits"]]
        cursor = ("--cursor", page["next"]) if page["next"] else None
    assert seen == whole
    assert len(seen) == 31, "one picture hangs under the one that it copies"
    assert len(shop.ask("search", "blue", "-k", "32", "--all-copies")["hits"]) == 32
    page = shop.ask("search", "blue", "-k", "13")
    refused = shop.run("search", "red", "-k", "13", "--cursor", page["next"])
    assert_refused(refused, 2, "another query", "without a cursor")
    assert_refused(shop.run("search", "red", "--cursor", "AAAA"), 2, "cursor")


def test_show_and_status_and_copies(shop):
    image = shop.id("green-0001.jpg")
    shown = shop.ask("show", image[:10])
    assert shown["id"] == image
    assert (shown["width"], shown["height"], shown["format"]) == (48, 36, "jpeg")
    assert shown["sources"][0]["path"] == str(shop.pictures / "green-0001.jpg")
    status = shop.ask("status")
    assert {
        "images", "sources", "regions", "copy_groups", "spaces", "ann_recall_at_10", "bytes", "seq",
    } <= set(status)  # fmt: skip
    assert (status["images"], status["sources"]) == (32, 32)
    assert status["spaces"][0]["name"] == "tiny"
    copies = shop.ask("copies", image)["copies"]
    assert shop.id("again.webp") in {one["record"]["id"] for one in copies}
    for argv in (("show", image), ("status",), ("copies", image), ("copies",)):
        assert "Traceback" not in shop.run(*argv).err


def test_doctor_finds_nothing_wrong(shop):
    checks = {check["name"]: check for check in shop.ask("doctor")["checks"]}
    assert {"python", "disk", "index", "words", "vectors", "thumbnails", "search"} <= set(checks)
    assert all(check["state"] != "error" for check in checks.values())
    assert shop.run("doctor").code == 0


def test_people_get_a_table(shop):
    done = shop.run("search", "pillar box", "-k", "2", "--explain")
    assert done.code == 0
    assert "pillar box" in done.out
    assert "\x1b[31m" not in done.out, "a caption may not speak to the terminal"
    assert "bm25" in done.out
    assert "milliseconds:" in done.out


def test_a_sheet_is_a_png(shop, tmp_path):
    shop.ask("search", "red", "-k", "5", "--sheet", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 300
    nowhere = shop.run("search", "red", "--sheet", tmp_path / "no" / "folder" / "sheet.png")
    assert_refused(nowhere, 3, "sheet.png")


def test_models(commands, tiny_bundle, tmp_path):
    listed = commands.run("models", "list", "--json").json["models"]
    assert {"lite", "lite-conse"} <= {one["name"] for one in listed}
    shown = commands.run("models", "show", tiny_bundle, "--json").json
    assert (shown["name"], shown["dim"]) == ("tiny", 48)
    verified = commands.run("models", "verify", tiny_bundle, "--json")
    assert verified.code == 0
    assert {one["state"] for one in verified.json["files"]} == {"ok"}
    broken = make_bundle(tmp_path / "broken")
    with (broken / "image.onnx").open("ab") as file:
        file.write(b"\0")
    found = commands.run("models", "verify", broken)
    assert found.code == 3
    assert "corrupt   image.onnx" in found.out
    assert_refused(commands.run("models", "show", "light"), 3, "light", "did you mean lite")


# ── Refusals ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("search", "x", "--color", "yelow"), 2, ("yelow", "did you mean yellow")),
        (("search", "x", "--type", "foto"), 2, ("foto", "photo")),
        (("search", "red size:gigantic"), 2, ("gigantic",)),
        (("search", "colour-of:red"), 2, ("colour-of", "did you mean")),
        (("search", "x", "--since", "yesterday"), 2, ("yesterday",)),
        (("search", ""), 2, ("nothing is asked",)),
        (("search", " "), 2, ("nothing is asked",)),
        (("similar", "no-such-picture.jpg"), 2, ("no-such-picture.jpg",)),
        (("similar", "~nobody-of-that-name/x.jpg"), 2, ("nobody-of-that-name",)),
        (("similar", "x" * 5000), 2, ("xxx",)),
        (("similar", "/dev/zero"), 2, ("not a regular file",)),
        (("similar", "."), 2, ("",)),
        (("similar", "ffffffffffff"), 1, ("no images begin with",)),
        (("similar", "http://127.0.0.1:9/x.jpg"), 2, ("127.0.0.1",)),
        (("show", "zzzz"), 1, ("zzzz",)),
        (("show", "0" * 32), 1, ("0" * 32,)),
        (("remove", "0000"), 1, ("0000",)),
        (("remove",), 2, ("nothing to remove",)),
        (("copies", "--copies", "stricter"), 2, ("stricter", "strict")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(shop, argv, code, words):
    assert_refused(shop.run(*argv), code, *words)
    error = shop.run(*argv, "--json").json["error"]
    assert (
        {"code", "message", "hint"} <= set(error) <= {"code", "message", "hint", "place", "reason"}
    )
    assert error["message"]


def test_what_is_wrong_in_a_query_is_pointed_at(shop):
    done = shop.run("search", "sunset \u732b color:rad dog")
    assert_refused(done, 2, "did you mean red")
    assert done.err.splitlines()[1:3] == ["  sunset \u732b color:rad dog", f"{' ' * 12}{'^' * 9}"]
    error = shop.run("search", "sunset \u732b color:rad dog", "--json").json["error"]
    assert error["place"] == [9, 18]
    far = shop.run("search", f"{'sun ' * 100}colr:red{' sun' * 100}").err.splitlines()
    begin = far[2].index("^")
    assert far[1][begin : begin + far[2].count("^")] == "colr:red"


@pytest.mark.parametrize("region", ["1,2", "a,b,c,d", "0.5,0.5,0.6,0.1", "0,0,0,0", "nan,0,1,1"])
def test_a_region_lies_inside_the_picture(shop, region):
    path = shop.pictures / "red-0000.jpg"
    assert_refused(shop.run("similar", path, "--region", region), 2, "region")


def test_a_refused_query_picture_says_why(shop, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"no picture at all")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for name, word in (("empty.jpg", "empty"), ("text.jpg", ""), ("drawing.svg", "SVG")):
        assert_refused(shop.run("similar", tmp_path / name), 2, word)


@pytest.mark.parametrize(
    "argv", [("nonsense",), ("search",), ("search", "x", "-k", "0"), ("search", "x", "--nope")]
)
def test_usage_ends_with_2(shop, argv):
    done = shop.run(*argv)
    assert done.code == 2
    assert "Traceback" not in done.err


# ── Changing an index ────────────────────────────────────────────────────────────────────


def test_removed_and_blocked(own_shop):
    red, blue = own_shop.id("red-0000.jpg"), own_shop.id("blue-0002.jpg")
    assert own_shop.ask("remove", red) == {"removed": 1, "blocked": False}
    assert own_shop.ask("remove", blue[:8], "--block") == {"removed": 1, "blocked": True}
    assert own_shop.run("show", red).code == 1
    assert red not in {hit["id"] for hit in own_shop.ask("search", "red", "-k", "40")["hits"]}
    again = own_shop.run("index", own_shop.pictures, "--json")
    assert (again.code, again.json["added"], again.json["failed"]) == (1, 1, {"blocked": 1})
    assert own_shop.run("remove", red, "--json").json["removed"] == 1
    assert own_shop.run("remove", red, "--json").code == 1
    assert own_shop.run("remove", "--site", "example.org", "--json").code == 1


def test_vanished_files_are_kept_until_pruned(own_shop):
    image = own_shop.id("red-0000.jpg")
    (own_shop.pictures / "red-0000.jpg").unlink()
    again = own_shop.ask("index", own_shop.pictures)
    assert (again["vanished"], again["known"]) == (1, 31)
    assert own_shop.ask("show", image)["sources"][0]["vanished"] is True
    pruned = own_shop.ask("index", own_shop.pictures, "--prune")
    assert pruned["known"] == 31
    assert own_shop.ask("status")["images"] == 31
    assert own_shop.run("show", image).code == 1


def test_a_vanished_file_is_pruned_at_once(own_shop):
    image = own_shop.id("red-0000.jpg")
    (own_shop.pictures / "red-0000.jpg").unlink()
    assert own_shop.ask("index", own_shop.pictures, "--prune")["vanished"] == 1
    assert own_shop.run("show", image).code == 1
    assert own_shop.ask("status")["images"] == 31


def test_optimize(own_shop):
    assert own_shop.ask("optimize")["images"] == 32
    assert own_shop.ask("search", "red", "-k", "1")["hits"]


def test_watching_takes_over_what_comes_and_goes(own_shop):
    watching = own_shop.start("index", own_shop.pictures, "--watch", "--json")
    try:
        assert watching.wait_until(lambda: watching.out.read_text().count("\n") >= 1)
        data = picture("purple", seed=9000)
        (own_shop.pictures / "late-purple.jpg").write_bytes(data)
        assert watching.wait_until(lambda: '"added": 1' in watching.out.read_text())
        assert own_shop.ask("show", image_id(data))["id"] == image_id(data)
        found = own_shop.ask("search", "late", "-k", "1")["hits"][0]
        assert found["id"] == image_id(data)
        (own_shop.pictures / "red-0000.jpg").unlink()
        assert watching.wait_until(lambda: '"vanished": 1' in watching.out.read_text())
    finally:
        watching.signal(signal.SIGTERM)
    done = watching.wait()
    assert done.code in {0, 1}
    assert "Traceback" not in done.err
    assert own_shop.ask("status")["up_to_date"] is True
    assert own_shop.run("index", own_shop.pictures, "--json").json["known"] == 32


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_tidily_and_goes_on(commands, tiny_bundle, tmp_path, number):
    shop = Shop(commands, tiny_bundle, tmp_path)
    fill_folder(shop.pictures, 200)
    acknowledged = tmp_path / "acknowledged"
    running = shop.start(
        "index", shop.pictures, "--encoder", tiny_bundle, "--json",
        acknowledged=str(acknowledged), values={"lookalike.engine.ingest:BATCH": 4},
    )  # fmt: skip
    assert running.wait_until(lambda: acknowledged.exists() and acknowledged.stat().st_size > 0)
    running.signal(number)
    done = running.wait()
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.json["interrupted"] is True
    assert 0 < done.json["added"] < 200
    status = shop.ask("status")
    assert status["images"] == done.json["added"]
    assert status["up_to_date"] is True
    rest = shop.ask("index", shop.pictures)
    assert (rest["known"], rest["added"]) == (done.json["added"], 200 - done.json["added"])


# ── Whole processes, as a shell starts them ──────────────────────────────────────────────


def lookalike(*argv, **environment):
    """Run `python -m lookalike` from nothing."""
    locale = ("LC_", "LANG", "PYTHONIO", "PYTHONUTF8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(locale)}
    return subprocess.run(
        [sys.executable, "-m", "lookalike", *argv], capture_output=True, check=False,
        env=clean | environment, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
    ],
    ids=["C", "ascii", "latin-1", "utf-8"],
)
def test_odd_names_print_in_any_locale(shop, environment):
    image = image_id(picture("green", seed=500))
    index = os.fspath(shop.index)
    done = lookalike("show", image, "--index", index, "--json", **environment)
    assert done.returncode == 0, done.stderr
    assert "green-caf" in json.loads(done.stdout)["sources"][0]["path"]
    table = lookalike("similar", image, "--index", index, "-k", "2", **environment)
    assert table.returncode == 0, table.stderr
    assert b"green-caf" in table.stdout


def test_a_reader_that_hangs_up_is_no_failure(shop):
    command = [sys.executable, "-m", "lookalike", "show", "--index", os.fspath(shop.index)]
    command.append(shop.id("red-0000.jpg"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert b"Traceback" not in err


def test_version_and_help():
    done = lookalike("--version")
    assert (done.returncode, done.stdout.decode().strip()) == (0, __version__)
