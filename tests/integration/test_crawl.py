"""Crawling a site that is served on this machine, by the real crawler in its own process."""

import http.server
import json
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from lookalike.adapters import source_crawl
from lookalike.adapters.source_crawl import Crawl
from lookalike.adapters.source_crawl_spool import CrawlSpool
from lookalike.cli.app import app
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError, UsageError
from lookalike.domain.images import image_id
from lookalike.domain.pages_crawl import CrawlPlan, is_trap, start_urls
from lookalike.engine.ingest import IngestOptions
from lookalike.wiring.crawling import crawl_into
from tests.integration.served import open_toy
from tests.toy import picture

pytest.importorskip("scrapy", reason="needs the extra crawl")

ROBOTS = "User-agent: *\nDisallow: /private/\nCrawl-delay: 0.05\n"
PAGES = {
    "/": '<title>Home</title><h1>Pictures</h1><img src="/red.jpg" alt="a red one">'
    '<a href="/birds">b</a><a href="/private/x">p</a><a href="/shy">s</a><a href="/missing">m</a>'
    '<a href="/moved">v</a><a href="/outside">o</a><a href="/trap/0">t</a><a href="/no.zip">z</a>'
    '<a href="http://127.0.0.1:9/">port</a><a rel=nofollow href="/unfollowed">n</a>',
    "/birds": '<title>Birds</title><figure><a href="/large.jpg"><img src="/blue.jpg"></a>'
    '<figcaption>A blue bird</figcaption></figure><img src="/private/green.jpg">'
    '<img src="/gone.jpg"><img src="/noai.jpg"><img src="/page.jpg">'
    '<img src="/red.jpg" alt="red again">',
    "/shy": '<meta name=robots content="noindex,nofollow"><img src="/shy.jpg">'
    '<a href="/deep">d</a>',
    "/moved-here": '<title>Moved</title><img src="/to-yellow.jpg" alt="yellow">',
}
PICTURES = {"/red.jpg": "red", "/blue.jpg": "blue", "/yellow.jpg": "yellow", "/noai.jpg": "green",
            "/private/green.jpg": "green", "/shy.jpg": "pink"}  # fmt: skip


class Site(http.server.BaseHTTPRequestHandler):
    """A small site with everything a crawl meets."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.seen[self.path] += 1
        server.agents.add(self.headers["User-Agent"])
        path = urlsplit(self.path).path
        if server.slow:
            time.sleep(server.slow)
        if path == "/robots.txt":
            self.answer(server.robots.encode(), "text/plain", status=server.robots_status)
        elif path in PAGES:
            self.answer(PAGES[path].encode(), "text/html; charset=utf-8")
        elif path in PICTURES:
            tag = {"X-Robots-Tag": "noai"} if path == "/noai.jpg" else {}
            self.answer(picture(PICTURES[path]), "image/jpeg", **tag)
        elif path in {"/moved", "/to-yellow.jpg"}:
            to = "/moved-here" if path == "/moved" else "/yellow.jpg"
            self.answer(b"", "text/html", status=302, Location=to)
        elif path == "/outside":
            self.answer(b"", "text/html", status=302, Location="http://169.254.169.254/latest")
        elif path.startswith("/trap/"):
            number = int(path.rsplit("/", 1)[1])
            self.answer(f'<a href="/trap/{number + 1}">on</a>'.encode(), "text/html")
        elif path == "/page.jpg":
            self.answer(b"<html>no picture</html>", "text/html")
        elif path == "/many":
            html = "".join(f'<img src="/m/{n}.jpg" alt="n{n}">' for n in range(40))
            self.answer(html.encode(), "text/html")
        elif path.startswith("/m/"):
            number = int(path.split("/")[2].removesuffix(".jpg"))
            self.answer(picture("red", seed=number), "image/jpeg")
        else:
            self.answer(b"no", "text/plain", status=404)

    def answer(self, body, media, *, status=200, **headers):
        try:
            self.send_response(status)
            for name, value in {"Content-Type": media, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(source_crawl, "ROUND_WAIT_S", 0.2)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.seen, server.agents = Counter(), set()
    server.robots, server.robots_status, server.slow = ROBOTS, 200, 0.0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def engine(tmp_path):
    with open_toy(tmp_path, count=0) as opened:
        yield opened


def plan_of(site, path="/", **more):
    values = {"delay_s": 0.0, "allow": ("127.0.0.1",), "depth": 3, **more}
    return CrawlPlan(starts=start_urls([site.url + path]), **values)


def test_a_crawl_indexes_what_may_be_and_says_what_was_not(site, engine, tmp_path):
    report = crawl_into(
        engine, plan_of(site, contact="bot@a.org"), tmp_path / "state", IngestOptions()
    )
    assert report.is_complete
    assert not (tmp_path / "state").exists()
    assert report.added == 3
    assert report.failed == {
        reasons.OPTED_OUT: 2,  # robots.txt, and the server's noai
        reasons.FETCH_FAILED: 1,
        reasons.NOT_AN_IMAGE: 1,
    }
    assert report.page_failures == {
        reasons.OPTED_OUT: 1, reasons.FETCH_FAILED: 2, reasons.BLOCKED_ADDRESS: 1,
    }  # fmt: skip
    ids = [image_id(picture(colour)) for colour in ("red", "blue", "yellow")]
    sources = [engine.record(image).sources[0] for image in ids]
    said = {source.uri.removeprefix(site.url): source for source in sources}
    assert said["/red.jpg"].alt_text in {"a red one", "a red one\nred again"}
    assert (said["/blue.jpg"].caption, said["/blue.jpg"].title) == ("A blue bird", "Birds")
    assert said["/to-yellow.jpg"].alt_text == "yellow"
    assert said["/blue.jpg"].page_url == f"{site.url}/birds"
    asked = set(site.seen)
    assert asked.isdisjoint({"/private/x", "/private/green.jpg", "/shy.jpg", "/deep", "/no.zip",
                             "/unfollowed"})  # fmt: skip
    assert "/trap/2" in asked
    assert "/trap/3" not in asked
    assert max(site.seen[path] for path in PICTURES) == 1
    assert site.agents == {"Lookalike/0.1 (image search crawler; bot@a.org)"}


def test_private_addresses_are_refused_unless_allowed(site, engine, tmp_path):
    hosts = ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "169.254.169.254")
    starts = tuple(f"http://{host}:{site.server_port}/" for host in hosts)
    plan = CrawlPlan(starts=starts, delay_s=0.0)
    report = crawl_into(engine, plan, tmp_path / "state", IngestOptions())
    assert report.page_failures == {reasons.BLOCKED_ADDRESS: len(hosts)}
    assert not site.seen


def test_a_robots_txt_that_fails_forbids_everything(site, engine, tmp_path):
    site.robots_status = 503
    report = crawl_into(engine, plan_of(site), tmp_path / "state", IngestOptions())
    assert report.page_failures == {reasons.FETCH_FAILED: 1}
    assert set(site.seen) == {"/robots.txt"}


def test_pages_are_bounded(site, engine, tmp_path):
    plan = plan_of(site, "/trap/0", depth=100, most_pages=7)
    report = crawl_into(engine, plan, tmp_path / "state", IngestOptions())
    assert (report.pages, report.is_complete) == (7, True)


def test_a_stopped_crawl_goes_on_and_loses_nothing(site, engine, tmp_path):
    site.robots = ""
    site.slow = 0.02
    plan, state = plan_of(site, "/many"), tmp_path / "state"
    stop = threading.Event()

    def stop_soon(report):
        if report.images >= 5:
            stop.set()

    first = crawl_into(engine, plan, state, IngestOptions(stop=stop), on_progress=stop_soon)
    assert not first.is_complete
    assert first.images >= 5
    assert state.is_dir()
    second = crawl_into(engine, plan, state, IngestOptions())
    assert second.is_complete
    assert second.images == 40
    assert len(engine) == first.added + second.added == 40
    assert {n for path, n in site.seen.items() if path.startswith("/m/")} <= {1, 2}


def test_what_waits_when_the_indexer_dies_is_there_again(site, tmp_path):
    site.robots = ""
    plan, state = plan_of(site, "/many"), tmp_path / "state"
    with Crawl(plan, state) as crawl:
        some = next(crawl.rounds(threading.Event()))
        taken = {item.source.uri for item in some.items()}
    with Crawl(plan, state) as crawl:
        again: set[str] = set()
        for some in crawl.rounds(threading.Event()):
            again |= {item.source.uri for item in some.items()}
            crawl.acknowledge(some)
        assert crawl.is_complete()
    assert taken <= again
    assert len(again) == 40


def test_a_crawler_that_dies_is_told(site, tmp_path):
    site.slow = 0.2
    crawl = Crawl(plan_of(site, "/many"), tmp_path / "state")
    with crawl, pytest.raises(SourceError, match="stopped with code"):
        crawl._child.kill()
        list(crawl.rounds(threading.Event()))


def test_the_state_of_another_crawl_is_not_taken(site, tmp_path):
    spool = CrawlSpool(tmp_path / "state")
    spool.begin(CrawlPlan(starts=("https://a.org/",)))
    spool.close()
    with pytest.raises(UsageError):
        Crawl(plan_of(site), tmp_path / "state").__enter__()


def test_the_command_line(site, tmp_path, tiny_bundle):
    site.robots = "User-agent: lookalike\nDisallow: /m/3\nCrawl-delay: 0\n"
    result = CliRunner().invoke(
        app,
        ["crawl", f"{site.url}/many", "--index", str(tmp_path / "x.index"), "--delay", "0",
         "--allow", "127.0.0.1", "--most-images", "12", "--encoder", str(tiny_bundle),
         "--no-objects", "--no-ocr", "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["pages"] == 1
    assert said["added"] + said["failed"].get("opted-out", 0) == 12
    assert not said["interrupted"]


@pytest.mark.parametrize("name", ["", "ftp://a.org/", "http://", "a b", "http://[bad"])
def test_what_is_no_url_cannot_be_crawled(name):
    with pytest.raises(UsageError):
        start_urls([name])


def test_a_bare_host_is_a_url():
    assert start_urls(["Example.org/gallery"]) == ("https://example.org/gallery",)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.org/a/b/c?x=1&y=2", False),
        ("https://a.org/a/b/a/b/a/b/a/b", True),
        ("https://a.org/" + "x" * 3000, True),
        ("https://a.org/" + "/".join(map(str, range(30))), True),
        ("https://a.org/?" + "&".join(f"p{n}=1" for n in range(20)), True),
    ],
)
def test_endless_links_are_known_by_their_form(url, expected):
    assert is_trap(url) == expected
