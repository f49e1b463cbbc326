"""domain.sources: uris, fingerprints, braces and globs."""

import os
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import SourceError
from lookalike.domain.images import Source
from lookalike.domain.sources import (
    GlobPattern,
    archive_uri,
    expand_braces,
    is_glob,
    is_unchanged,
    is_url,
    natural_key,
    path_of_uri,
    site_of,
    split_archive_uri,
    suffix_of,
    text_fingerprint,
    uri_of_path,
)


@given(st.binary(max_size=60))
def test_any_file_name_survives_the_way_through_a_uri(raw):
    path = "/" + os.fsdecode(raw)
    uri = uri_of_path(path)
    uri.encode("utf-8")  # a store can hold it
    assert path_of_uri(uri) == path


@given(st.text(alphabet="ab\uef80\uefff\uefeeé", max_size=12))
def test_names_with_the_escape_characters_themselves_survive(name):
    path = os.fsdecode(os.fsencode("/" + name))
    assert path_of_uri(uri_of_path(path)) == path


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_names_never_share_a_uri(one, other):
    first, second = os.fsdecode(b"/" + one), os.fsdecode(b"/" + other)
    assert (uri_of_path(first) == uri_of_path(second)) == (first == second)


def test_plain_names_are_their_own_uris():
    assert uri_of_path("/pics/Übersicht – 東京.jpg") == "/pics/Übersicht – 東京.jpg"


@given(st.binary(min_size=1, max_size=30))
def test_a_member_is_found_again_in_its_uri(raw):
    member = os.fsdecode(raw)
    assert split_archive_uri(archive_uri("/a/00001.tar", member)) == ("/a/00001.tar", member)


def test_an_ordinary_path_is_no_member():
    assert split_archive_uri("/pics/a#b.jpg") is None


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{3..1}", ["3", "2", "1"]),
        ("a{x,y}{1..2}", ["ax1", "ay1", "ax2", "ay2"]),
        ("{single}.tar", ["{single}.tar"]),
        ("{}", ["{}"]),
        ("{a,}", ["a", ""]),
        ("{x}{a,b}", ["{x}a", "{x}b"]),
    ],
)
def test_braces(pattern, names):
    assert sorted(expand_braces(pattern)) == sorted(names)


@pytest.mark.parametrize(
    "pattern", ["{0..9999999}", "{0..9999}{0..9999}", "{0..999999999999999999}"]
)
def test_endless_braces_are_refused_before_they_are_made(pattern):
    with pytest.raises(SourceError, match="more than"):
        next(expand_braces(pattern))


@given(st.text(alphabet="{},.0123ab", max_size=20))
def test_braces_of_any_form_expand_or_are_refused(pattern):
    names = [name for name, _ in zip(expand_braces(pattern), range(50), strict=False)]
    assert names


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("/p/*.jpg", ["a.jpg"], ["b/a.jpg", ".a.jpg", "a.png"]),
        ("/p/**/*.jpg", ["a.jpg", "b/a.jpg", "b/c/a.jpg"], ["b/a.png", ".b/a.jpg"]),
        ("/p/*/x?.jpg", ["b/x1.jpg"], ["x1.jpg", "b/x12.jpg", "b/c/x1.jpg"]),
        ("/p/[ab]*.jpg", ["a.jpg", "b1.jpg"], ["c.jpg"]),
        ("/p/[!ab].jpg", ["c.jpg"], ["a.jpg"]),
        ("/p/[a-c].jpg", ["b.jpg"], ["d.jpg"]),
        ("/p/**", ["a.jpg", "b/a.jpg"], []),
        ("/p/.h*/*.jpg", [".hid/a.jpg"], ["hid/a.jpg"]),
        ("/p/a[.jpg*", ["a[.jpg"], ["a.jpg"]),
    ],
)
def test_globs(pattern, inside, outside):
    glob = GlobPattern.parse(pattern)
    assert str(glob.root) == "/p"
    for name in inside:
        assert glob.matches(name.split("/")), name
        for depth in range(1, name.count("/") + 1):
            assert glob.may_hold(name.split("/")[:depth])
    for name in outside:
        assert not glob.matches(name.split("/")), name


def test_a_glob_without_stars_does_not_go_deep():
    assert not GlobPattern.parse("/p/*.jpg").may_hold(["sub"])
    assert not GlobPattern.parse("/p/*/a.jpg").may_hold(["one", "two", "three"])


@given(st.text(alphabet="*?[]!^-\\ab.&~|", min_size=1, max_size=12))
def test_any_segment_is_a_pattern_or_our_error(segment):
    with suppress(SourceError):
        GlobPattern.parse(f"/p/{segment}*").matches(["ab"])


def test_forms():
    assert is_glob("a*")
    assert is_glob("{1..2}.tar")
    assert not is_glob("{photo}.jpg")
    assert is_url("HTTPS://x.org/a.jpg")
    assert not is_url("ftp://x.org/a.jpg")
    assert site_of("https://Photos.Example.org:8443/a") == "photos.example.org"
    assert site_of("http://[bad/") == ""
    assert suffix_of("A.B.JPG") == ".jpg"
    assert suffix_of(".jpg") == ""
    assert sorted(["i_10", "i_2"], key=natural_key) == ["i_2", "i_10"]


def test_a_listing_without_words_does_not_undo_a_table():
    said = replace(Source(uri="/a", caption="a dog"), fingerprint="5-7")
    with_words = "5-7" + text_fingerprint(said)
    assert with_words != "5-7"
    assert is_unchanged(with_words, "5-7")
    assert not is_unchanged("5-7", with_words)
    assert not is_unchanged(with_words, "5-8")
    assert is_unchanged("", "")
