"""Measure reading web pages and WARC files: processor seconds, and memory for archives.

    python bench/pages.py

The parsers are timed on an ordinary page of cards and on pages that are made to hurt, lxml as it
is used (a stream of events) and selectolax (a tree). Each runs in a process of its own, which is
stopped after a bound. `read_page` is all of what is done with a page. Archives hold pages of ten
pictures each; both passes are timed.
"""

from __future__ import annotations

import gzip
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import material

from lookalike.adapters.source_pages_html import read_page
from lookalike.adapters.source_warc import WarcSource
from lookalike.evaluation.reports import Table

sys.path.insert(0, str(material.ROOT))
from tests.unit.sources.warcs import page, response

BOUND_S = 5.0
CARD = (
    '<div class=card><a href="l{0}.jpg"><img src="t{0}.jpg" alt="a {0}" srcset="x{0}.jpg 2x"></a>'
    "<p>Text of <b>card</b> {0} &amp; more words here to be read</p></div>"
)
PAGES = {
    "2,000 cards": "".join(CARD.format(n) for n in range(2_000)),
    "10,000 cards": "".join(CARD.format(n) for n in range(10_000)),
    "10,000 open elements": "<div>" * 10_000 + "<img src=a.jpg>",
    "100,000 open elements": "<div>" * 100_000 + "<img src=a.jpg>",
    "20,000 attributes": "<img " + " ".join(f"a{n}=1" for n in range(20_000)) + ">",
    "100,000 attributes": "<img " + " ".join(f"a{n}=1" for n in range(100_000)) + ">",
    "a caption of 6 MB": "<figure><img src=a><figcaption>" + "x " * 3_000_000,
}


class Nothing:
    """A target that drops every event."""

    def start(self, tag, attributes):
        pass

    def end(self, tag):
        pass

    def data(self, text):
        pass

    def comment(self, text):
        pass

    def close(self):
        pass


def with_lxml(raw):
    from lxml import etree

    parser = etree.HTMLParser(target=Nothing(), encoding="utf-8", huge_tree=True)
    parser.feed(raw)
    parser.close()


def with_selectolax(raw):
    from selectolax.lexbor import LexborHTMLParser

    LexborHTMLParser(raw)


def with_read_page(raw):
    read_page(raw, "https://a.org/")


READERS = {"lxml": with_lxml, "selectolax": with_selectolax, "read_page": with_read_page}


def timed(reader, name, answers):
    raw = PAGES[name].encode()
    READERS[reader](b"<p>warm</p>")
    began = time.process_time()
    READERS[reader](raw)
    answers.put(time.process_time() - began)


def bounded(reader, name):
    """Return the processor seconds of one reader on one page, or None past the bound."""
    answers = multiprocessing.Queue()
    child = multiprocessing.Process(target=timed, args=(reader, name, answers))
    child.start()
    child.join(BOUND_S)
    if child.is_alive():
        child.terminate()
        child.join()
        return None
    return answers.get()


def archive(path, pages):
    draw = random.Random(material.SEED)
    words = ["puffin", "cliff", "sea", "rock", "bird"]
    with path.open("wb") as file:
        for n in range(pages):
            html = "".join(
                f'<div><img src="/{n}-{k}.jpg" alt="picture {n} {k}"><p>'
                f"{' '.join(draw.choice(words) for _ in range(60))}</p></div>"
                for k in range(10)
            )
            file.write(gzip.compress(page(f"https://a.org/{n}", html)))
            for k in range(10):
                body = b"\xff\xd8\xff\xe0" + draw.randbytes(8_000)
                one = response(f"https://a.org/{n}-{k}.jpg", body, "image/jpeg")
                file.write(gzip.compress(one, 1))


def read_archive(path, answers):
    began = time.process_time()
    first, items, worded = 0.0, 0, 0
    for item in WarcSource(path).items():
        first = first or time.process_time() - began
        items += 1
        worded += bool(item.source.alt_text)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((items, worded, first, time.process_time() - began, peak))


def archive_row(folder, pages):
    path = folder / f"{pages}.warc.gz"
    archive(path, pages)
    answers = multiprocessing.Queue()
    child = multiprocessing.Process(target=read_archive, args=(path, answers))
    child.start()
    row = answers.get()
    child.join()
    return (pages, path.stat().st_size / 1e6, *row)


def main():
    multiprocessing.set_start_method("fork")
    rows = [
        (name, len(PAGES[name]) / 1e6, *(bounded(reader, name) for reader in READERS))
        for name in PAGES
    ]
    with tempfile.TemporaryDirectory() as folder:
        archives = [archive_row(Path(folder), pages) for pages in (250, 1_000)]
    material.finish(
        "pages",
        material.RESULTS / "pages.json",
        metrics={},
        tables={
            "Processor seconds a page (empty: stopped after five seconds on the clock)": Table(
                ("page", "MB", *READERS), rows
            ),
            "Archives": Table(
                ("pages", "MB", "pictures", "with words", "first pass s", "both passes s",
                 "peak MB"),
                archives,
            ),
        },
        settings={"bound_s": BOUND_S},
    )  # fmt: skip


if __name__ == "__main__":
    main()
