"""What is read from a page: pictures, their words, licences, robots' rules; any bytes at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.source_pages_html import decode_page, read_page
from lookalike.domain.pages import MOST_MENTIONS, MOST_SAID, MOST_TEXT, RobotRules, clip
from lookalike.domain.pages_addresses import (
    is_picture_link,
    resolve,
    robot_rules,
    srcset_addresses,
    why_skipped,
)

URL = "https://a.org/dir/page.html"


def read(html, **more):
    return read_page(html.encode() if isinstance(html, str) else html, URL, **more)


def only(html, **more):
    (mention,) = read(html, **more).mentions
    return mention


def files(html):
    prefix = "https://a.org/dir/"
    return [[a.removeprefix(prefix) for a in m.addresses] for m in read(html).mentions]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="a.jpg">', ["a.jpg"]),
        ('<img src="s.jpg" srcset="m.jpg 800w, l.jpg 1600w, h.jpg 9000w">',
         ["l.jpg", "m.jpg", "h.jpg", "s.jpg"]),
        ('<img src="s.jpg" srcset="b.jpg 2x,c.jpg 3x">', ["c.jpg", "b.jpg", "s.jpg"]),
        ('<picture><source srcset="v.svg" type="image/svg+xml"><source srcset="w.webp">'
         '<img src="a.jpg"></picture>', ["w.webp", "a.jpg"]),
        ('<img src="data:image/gif;base64,R0" data-src="a.jpg" data-srcset="b.jpg 2x">',
         ["b.jpg", "a.jpg"]),
        ('<img class=lazy data-src="a.jpg"><noscript><img src="a.jpg" alt=x></noscript>',
         ["a.jpg"]),
        ('<a href="large.jpg"><img src="thumb.jpg"></a>', ["large.jpg", "thumb.jpg"]),
        ('<a href="page.html"><img src="thumb.jpg"></a>', ["thumb.jpg"]),
        ('<a href="/wiki/File:A.jpg"><img src="thumb.jpg"></a>', ["thumb.jpg"]),
        ('<video poster="still.jpg"><source src="v.mp4"></video>', ["still.jpg"]),
        ("""<div class="hero" style="background:#fff url('bg.jpg') no-repeat"></div>""",
         ["bg.jpg"]),
        ('<meta property="og:image" content="og.jpg">', ["og.jpg"]),
        ('<link rel="image_src" href="is.jpg">', ["is.jpg"]),
        ('<base href="https://b.org/x/"><img src="a.jpg">', ["https://b.org/x/a.jpg"]),
    ],
)  # fmt: skip
def test_the_files_of_a_picture_come_best_first(html, expected):
    assert files(html) == [expected]


def test_a_background_that_is_decoration_is_no_picture():
    assert files("""<div class="row" style="background-image:url(bg.jpg)">text</div>""") == []


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ('<img src="data:image/png;base64,AA">', "inline"),
        ('<img src="t.gif" width="1" height="1">', "tracking"),
        ('<img src="i.png" width="16px">', "icon"),
        ('<img src="/img/spacer.gif">', "decoration"),
        ('<img src="sprite-2x.png">', "decoration"),
        ('<img src="logo.svg">', "vector"),
        ("<template><img src=a.jpg></template>", "template"),
    ],
)
def test_what_is_no_content_is_skipped_and_counted(html, why):
    page = read(html)
    assert page.mentions == ()
    assert page.skipped == {why: 1}


def test_words_come_from_where_they_stand():
    mention = only("""<html><head><title>Birds of Norway</title>
        <meta property="article:published_time" content="2020-05-06T10:00:00Z"></head>
        <body><nav>Home Contact</nav><h1>The puffin</h1><p>Puffins nest here.</p>
        <figure><img src="p.jpg" alt="a puffin" title="Puffin"><figcaption>On a cliff
        </figcaption></figure><p>They eat fish.</p><script>var no = 1</script>
        <footer>Imprint</footer></body></html>""")
    assert (mention.alt_text, mention.title, mention.caption) == (
        "a puffin", "Puffin", "On a cliff",
    )  # fmt: skip
    assert mention.text == "The puffin\nPuffins nest here.\nThey eat fish."
    assert mention.taken == 1588759200.0


def test_cards_do_not_lend_each_other_words():
    page = read(
        "<h2>Animals</h2>"
        + "".join(f"<li><img src={n}.jpg><p>a {n}</p></li>" for n in ("cat", "dog", "cow"))
    )
    assert [m.text for m in page.mentions] == ["Animals\na cat", "Animals\na dog", "Animals\na cow"]


@pytest.mark.parametrize(
    "html",
    [
        '<div><img src=a.jpg><p class="wp-caption-text">On a cliff</p></div><p>More</p>',
        '<img src=a.jpg aria-describedby="d"><p>between</p><span id=d>On a cliff</span>',
        "<p><a href=x.html><img src=a.jpg></a><br><em>On a cliff</em></p>",
        '<img src=a.jpg data-caption="On a cliff">',
    ],
)
def test_captions_are_found_near_a_picture(html):
    assert only(html).caption == "On a cliff"


CC = "https://creativecommons.org/licenses/by-sa/4.0/"


@pytest.mark.parametrize(
    ("html", "licence"),
    [
        (f'<figure><img src=a.jpg><figcaption><a href="{CC}">CC</a></figcaption></figure>',
         "cc-by-sa-4.0"),
        (f'<link rel=license href="{CC}"><img src=a.jpg>', "cc-by-sa-4.0"),
        (f'<img src=a.jpg><footer><a rel="license" href="{CC}">CC</a></footer>', "cc-by-sa-4.0"),
        (f'<img src=a.jpg>{"<p>text</p>" * 9}<p>an <a href="{CC}">essay</a></p>', "unknown"),
        ("<img src=a.jpg>", "unknown"),
    ],
)  # fmt: skip
def test_licences_belong_to_what_they_stand_at(html, licence):
    assert only(html).licence == licence


def test_a_figures_licence_is_not_the_pages():
    page = read(
        f'<figure><img src=a.jpg><a rel=license href="{CC}">CC</a></figure>'
        "<figure><img src=b.jpg></figure>"
    )
    assert [m.licence for m in page.mentions] == ["cc-by-sa-4.0", "unknown"]


def test_json_ld_speaks_of_its_picture_and_joins_what_the_page_shows():
    told = {
        "@graph": [
            {"@type": "Article", "headline": "News", "image": ["/dir/n.jpg"]},
            {
                "@type": ["ImageObject"], "contentUrl": "a.jpg", "caption": "LD caption",
                "license": {"@id": CC}, "creator": [{"name": "Ann"}], "dateCreated": "2019-01-02",
            },
            {"@type": "ImageObject", "url": "b.jpg", "acquireLicensePage": "/buy"},
        ]
    }  # fmt: skip
    page = read(f'<script type="application/ld+json">{json.dumps(told)}</script><img src=a.jpg>')
    said = {m.addresses[0].rsplit("/", 1)[1]: m for m in page.mentions}
    assert said["a.jpg"].caption == "LD caption"
    assert said["a.jpg"].licence == "cc-by-sa-4.0"
    assert said["a.jpg"].author == "Ann"
    assert said["b.jpg"].licence == "all-rights-reserved"
    assert said["n.jpg"].title == "News"


def test_microdata_is_read():
    mention = only(
        '<div itemscope itemtype="https://schema.org/ImageObject"><img itemprop="contentUrl" '
        'src="a.jpg"><b itemprop="caption">Micro</b><span itemprop="author" itemscope '
        f'itemtype="https://schema.org/Person"><i itemprop=name>Ann</i></span>'
        f'<a itemprop="license" href="{CC}">x</a></div>'
    )
    assert (mention.caption, mention.author, mention.licence) == ("Micro", "Ann", "cc-by-sa-4.0")


def test_links_are_kept_but_those_that_say_no():
    page = read(
        '<a href="b.html#x">b</a><a rel=nofollow href=c.html>c</a><a href="mailto:x@y">m</a>'
    )
    assert page.links == ("https://a.org/dir/b.html",)


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ([], RobotRules()),
        (["index, follow"], RobotRules()),
        (["NOINDEX"], RobotRules(False, True, False)),
        (["none"], RobotRules(False, False, False)),
        (["noimageindex"], RobotRules(True, True, False)),
        (["noai, max-image-preview:none"], RobotRules(True, True, False)),
        (["nofollow"], RobotRules(True, False, True)),
        (["googlebot: noindex, nofollow"], RobotRules()),
        (["otherbot: noindex", "lookalike: noimageai"], RobotRules(True, True, False)),
        (["max-snippet: -1, noindex"], RobotRules(False, True, False)),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], RobotRules()),
    ],
)
def test_robots_rules(values, rules):
    assert robot_rules(values) == rules


def test_rules_of_meta_and_header_add_up():
    html = "<meta name=robots content=nofollow><meta name=googlebot content=noindex>"
    assert read(html, headers=["noai"]).rules == RobotRules(True, False, False)
    assert not read("<meta name=tdm-reservation content=1>").rules.may_take_images


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("<p>caf\u00e9 \u2013 x".encode(), ""),
        ("\ufeff<p>caf\u00e9 \u2013 x".encode(), "latin-1"),
        ("\ufeff<p>caf\u00e9 \u2013 x".encode("utf-16-le"), "utf-8"),
        ("<p>caf\u00e9 \u2013 x".encode("cp1252"), "iso-8859-1"),
        ("<p>caf\u00e9 \u2013 x".encode("cp1252"), ""),
        ("<p>caf\u00e9 \u2013 x".encode(), "iso-8859-1"),
        ("<p>caf\u00e9 \u2013 x".encode(), "utf-16"),
        ("<p>caf\u00e9 \u2013 x".encode(), "no-such-charset"),
        ("<p>caf\u00e9 \u2013 x".encode(), "hex"),
        ("<meta charset=koi8-r><p>caf\u00e9 \u2013 x".encode(), "utf8"),
    ],
)
def test_charsets(body, charset):
    assert decode_page(body, charset).endswith("<p>caf\u00e9 \u2013 x")


def test_a_meta_charset_counts_where_the_header_is_silent():
    assert decode_page("<meta charset='shift_jis'>\u732b".encode("shift_jis")).endswith("\u732b")


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        (" a b.jpg\n", "https://a.org/dir/a%20b.jpg"),
        ("\u00e9.jpg?x=\u00fc#f", "https://a.org/dir/%C3%A9.jpg?x=%C3%BC"),
        ("//B.org:443/../x.jpg", "https://b.org/x.jpg"),
        ("http://a.org:80/", "http://a.org/"),
        ("javascript:alert(1)", ""),
        ("https://user:pw@a.org/x.jpg", ""),
        ("http://[bad/x.jpg", ""),
        ("x" * 5000, ""),
        ("", ""),
    ],
)
def test_addresses_are_resolved_as_servers_see_them(reference, address):
    assert resolve(URL, reference) == address


def test_srcset_survives_what_is_malformed():
    assert srcset_addresses("a,b.jpg 1x, c.jpg") == ["a,b.jpg", "c.jpg"]
    assert srcset_addresses(",,, a.jpg nonsense 1q, b.jpg -2x,") == ["a.jpg", "b.jpg"]
    assert srcset_addresses("data:image/png;base64,AA== 1x, b.jpg 2x")[0] == "b.jpg"
    assert len(srcset_addresses("a.jpg 1x," * 10_000)) == 64


def test_picture_links():
    assert is_picture_link("https://a.org/a.JPG?x")
    assert not is_picture_link("https://a.org/a.html")
    assert not is_picture_link("https://a.org/w/Datei%3AA.jpg")


# ── bad input ────────────────────────────────────────────────────────────────────────────────


def test_many_pictures_are_bounded():
    page = read("<img src=a%d.jpg>" * 1 + "".join(f"<img src={n}.jpg>" for n in range(10_400)))
    assert len(page.mentions) == MOST_MENTIONS
    assert page.skipped["over-the-bound"] == 401


def test_captions_of_a_megabyte_are_cut():
    page = read(
        "<title>" + "t " * 300_000 + "</title><figure><img src=a.jpg alt='" + "a " * 300_000
        + "'><figcaption>" + "word " * 300_000 + "</figcaption></figure><p>" + "x " * 900_000
    )  # fmt: skip
    mention = page.mentions[0]
    assert 0 < len(mention.caption) <= MOST_SAID
    assert 0 < len(mention.alt_text) <= MOST_SAID
    assert 0 < len(mention.text) <= MOST_TEXT
    assert 0 < len(page.title) <= MOST_SAID


HOSTILE = {
    "deep": "<div>" * 100_000 + "<img src=a.jpg>",
    "deep items": "<figure class=caption itemscope itemprop=a>" * 20_000 + "<img src=a.jpg>",
    "attributes": "<img " + " ".join(f"a{n}=1" for n in range(100_000)) + " src=a.jpg>",
    "formatting": "".join(f"<b x={n}><p>" for n in range(20_000)) + "<img src=a.jpg>",
    "tables": "<table><tr><td>" * 20_000 + "<img src=a.jpg>",
    "ends": "</div></p></b>" * 50_000 + "<img src=a.jpg>",
    "srcset": "<img src=a.jpg srcset='" + ",a 1w" * 200_000 + "'>",
    "deep json": '<script type="application/ld+json">' + "[" * 100_000 + "</script><img src=a.jpg>",
    "nested json": '<script type="application/ld+json">{"@type":"ImageObject","url":"a.jpg","name":'
    + "[" * 800 + "]" * 800 + "}</script>",
    "nul": "\0<img src=a.jpg \0 alt='\0'>\0",
    "unclosed": "<p><img src=a.jpg><figure><figcaption><a href='",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_are_read(name):
    page = read(HOSTILE[name])
    assert [m.addresses[-1] for m in page.mentions] == ["https://a.org/dir/a.jpg"]


@given(st.binary(max_size=400))
def test_any_bytes_are_a_page(body):
    page = read_page(body, URL, charset="utf-8")
    assert len(page.mentions) <= MOST_MENTIONS


TAGS = st.sampled_from([
    "<img src=a.jpg>", "<figure>", "</figure>", "<figcaption>", "</figcaption>", "<a href=b.jpg>",
    "</a>", "<p>", "</p>", "<div itemscope itemtype=ImageObject>", "</div>", "<b itemprop=name>",
    "</b>", "text", "<picture>", "<source srcset='c.jpg 2x'>", "</picture>", "<noscript>",
    "</noscript>", "<h1>", "</h1>", "<script type=application/ld+json>", "{", "</script>", "<em>",
    "</em>", "<svg>", "</svg>", "<title>", "</title>", "<!--", "-->", "<template>", "</template>",
])  # fmt: skip


@given(st.lists(TAGS, max_size=60))
def test_any_nesting_is_a_page(tags):
    for mention in read("".join(tags)).mentions:
        assert mention.addresses
        assert all(address.startswith("https://") for address in mention.addresses)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_reference_resolves_to_an_address_or_to_nothing(base, reference):
    address = resolve(base, reference)
    assert address == "" or address.isascii()
    assert address == "" or resolve(base, address) == address
    assert isinstance(why_skipped(address, {"width": reference}), str)


@given(st.text(), st.integers(1, 50), st.booleans())
def test_clipping_is_bounded(text, most, is_end):
    assert len(clip(text, most, is_end=is_end)) <= most
