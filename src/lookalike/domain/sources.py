"""How sources of pictures are named: uris, suffixes, fingerprints, braces and globs; no I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lookalike.domain.errors import SourceError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from lookalike.domain.images import Source

DECODED_SUFFIXES: Final = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif",
))  # fmt: skip
"""Suffixes, lower case, of formats that are decoded."""

REFUSED_SUFFIXES: Final = frozenset((
    ".svg", ".svgz", ".jxl", ".jp2", ".psd", ".ico",
    ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2",
))  # fmt: skip
"""Pictures that are not decoded: listed all the same, so that their refusal is reported."""

IMAGE_SUFFIXES: Final = DECODED_SUFFIXES | REFUSED_SUFFIXES

TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")

TABLE_SUFFIXES: Final = (
    ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz",
    ".parquet", ".pq",
)  # fmt: skip

_RAW_BASE: Final = 0xEF00
_RAW_BYTES: Final = re.compile("[\uef80-\uefff\udc80-\udcff]")
_ESCAPED: Final = re.compile("[\uef80-\uefff]+")
_ARCHIVE: Final = re.compile(
    r"(?P<archive>.+?\.(?:tar|tar\.gz|tgz|parquet|pq))#(?P<member>.+)", re.S
)
_BRACE: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_MOST_EXPANSIONS: Final = 1_000_000


def uri_of_path(path: str) -> str:
    r"""Return the uri of an absolute path: the path itself, made safe for UTF-8 stores.

    A byte that is not UTF-8 (a lone surrogate in Python's file names) becomes a private-use
    character U+EF80 to U+EFFF (MirBSD's OPTU-8 mapping); such characters of the name itself are
    written byte by byte in the same way, so that `path_of_uri` always restores the name.

    >>> uri_of_path("/pics/caf\udce9.jpg") == "/pics/caf\uefe9.jpg"
    True
    """
    if path.isascii():
        return path
    return _RAW_BYTES.sub(_escape_raw, path)


def path_of_uri(uri: str) -> str:
    """Return the path whose uri this is (a `str` as `os` functions take it)."""
    if uri.isascii():
        return uri
    return _ESCAPED.sub(_restore_raw, uri)


def _escape_raw(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-8", "surrogateescape")
    return "".join(chr(_RAW_BASE | byte) for byte in raw)


def _restore_raw(match: re.Match[str]) -> str:
    raw = bytes(ord(character) & 0xFF for character in match[0])
    return raw.decode("utf-8", "surrogateescape")


def archive_uri(archive: str, member: str) -> str:
    """Return the uri of a member (or row key) of an archive or table at an absolute path."""
    return f"{uri_of_path(archive)}#{uri_of_path(member)}"


def split_archive_uri(uri: str) -> tuple[str, str] | None:
    """Return the archive's path and the member's name, or None when the uri names no member.

    >>> split_archive_uri("/data/00000.tar#000012.jpg")
    ('/data/00000.tar', '000012.jpg')
    """
    match = _ARCHIVE.fullmatch(uri)
    return (path_of_uri(match["archive"]), path_of_uri(match["member"])) if match else None


def is_url(text: str) -> bool:
    """Tell whether the text is an http or https URL by its form."""
    return text[:8].lower().startswith(("http://", "https://"))


def site_of(url: str) -> str:
    """Return the host of a URL in lower case, or an empty string.

    >>> site_of("https://Photos.Example.org:8443/a.jpg")
    'photos.example.org'
    """
    if not is_url(url):
        return ""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    return (host or "").rstrip(".")


def suffix_of(name: str) -> str:
    """Return the last suffix of a file name in lower case with its dot, or an empty string."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    """Tell whether the name ends in one of the (possibly double) suffixes, in any case."""
    return name.lower().endswith(tuple(suffixes))


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key under which `img_2` comes before `img_10`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts))


def file_fingerprint(stat: os.stat_result) -> str:
    """Return what tells an unchanged file without reading it: its size and mtime (ns)."""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def text_fingerprint(source: Source) -> str:
    """Return `+` and 8 hex digits over what is said of the picture; empty when nothing is."""
    fields = (source.title, source.alt_text, source.caption, source.page_text, source.page_url)
    licence = "" if source.licence == "unknown" else source.licence
    taken = "" if source.taken is None else repr(source.taken)
    said = "\0".join((*fields, licence, taken))
    if not said.strip("\0"):
        return ""
    return "+" + hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=4).hexdigest()


def is_unchanged(remembered: str, current: str) -> bool:
    """Tell whether a source need not be read again, given its remembered and current fingerprint.

    A listing that says nothing of the picture (no `+` part) does not undo what another one,
    such as a table of captions, has said of the same file.
    """
    if remembered == current:
        return True
    return "+" not in current and remembered.partition("+")[0] == current


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield the names that `{a,b}` and `{00000..00012}` stand for, in order; others stay as is.

    Raises:
        SourceError: the pattern stands for more than a million names.

    >>> list(expand_braces("{08..10}.tar"))
    ['08.tar', '09.tar', '10.tar']
    """
    if _count_expansions(pattern) > _MOST_EXPANSIONS:
        raise SourceError(
            f"the pattern {pattern!r} stands for more than {_MOST_EXPANSIONS:,} names",
            hint="narrow the range in braces",
        )
    yield from _expand(pattern)


def has_braces(text: str) -> bool:
    """Tell whether the text holds a brace pattern that would be expanded."""
    return any(_alternatives(match[1]) for match in _BRACE.finditer(text))


def _expand(pattern: str) -> Iterator[str]:
    for match in _BRACE.finditer(pattern):
        alternatives = _alternatives(match[1])
        if alternatives is None:
            continue
        head = pattern[: match.start()]
        for tail in _expand(pattern[match.end() :]):
            yield from (f"{head}{middle}{tail}" for middle in alternatives)
        return
    yield pattern


def _alternatives(inside: str) -> Sequence[str] | None:
    if limits := _RANGE.fullmatch(inside):
        first, last = int(limits[1]), int(limits[2])
        width = max(len(limits[1]), len(limits[2])) if "0" in {limits[1][0], limits[2][0]} else 0
        step = 1 if last >= first else -1
        if abs(last - first) >= _MOST_EXPANSIONS:
            return [""] * (_MOST_EXPANSIONS + 1)
        return [f"{number:0{width}d}" for number in range(first, last + step, step)]
    return inside.split(",") if "," in inside else None


def _count_expansions(pattern: str) -> int:
    total = 1
    for match in _BRACE.finditer(pattern):
        total *= len(_alternatives(match[1]) or [""])
    return total


def is_glob(text: str) -> bool:
    """Tell whether the text holds a wildcard (`*`, `?` or `[…]`) or a brace pattern."""
    return re.search(r"[*?]|\[[^\]]+\]", text) is not None or has_braces(text)


@dataclass(frozen=True, slots=True)
class GlobPattern:
    """A glob below a fixed folder: `*`, `?`, `[…]` inside one name, `**` for any depth.

    As in a shell, a wildcard does not match a name that begins with a dot.
    """

    root: Path
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> GlobPattern:
        """Split a pattern without braces into the folder before its first wildcard and the rest."""
        parts = Path(text).expanduser().parts
        fixed = next((i for i, p in enumerate(parts) if is_glob(p)), len(parts) - 1)
        return cls(Path(*parts[:fixed]), parts[fixed:])

    def matches(self, names: Sequence[str]) -> bool:
        """Tell whether a file, given as the names below the root, is meant."""
        return len(self.segments) in self._states(names)

    def may_hold(self, names: Sequence[str]) -> bool:
        """Tell whether a folder, given as the names below the root, may hold a meant file."""
        return any(state < len(self.segments) for state in self._states(names))

    def _states(self, names: Sequence[str]) -> frozenset[int]:
        """Run the names through the segments as a small automaton; states are positions."""
        states = self._close({0})
        for name in names:
            following = set[int]()
            for state in states:
                if state == len(self.segments):
                    continue
                segment = self.segments[state]
                if segment == "**":
                    if not name.startswith("."):
                        following.add(state)
                elif _segment_regex(segment).fullmatch(name):
                    following.add(state + 1)
            states = self._close(following)
        return states

    def _close(self, states: set[int]) -> frozenset[int]:
        for at, segment in enumerate(self.segments):
            if segment == "**" and at in states:
                states.add(at + 1)
        if self.segments and self.segments[-1] == "**" and len(self.segments) - 1 in states:
            states.add(len(self.segments))
        return frozenset(states)


@lru_cache(maxsize=256)
def _segment_regex(segment: str) -> re.Pattern[str]:
    out: list[str] = [] if segment.startswith(".") else [r"(?!\.)"]
    for match in re.finditer(r"\*+|\?|\[(?P<not>[!^]?)(?P<set>\]?[^\]]*)\]|.", segment, re.S):
        wild = match[0]
        if wild.startswith("*"):
            out.append(".*")
        elif wild == "?":
            out.append(".")
        elif match["set"]:
            inside = re.sub(r"([\\\[\]&~|^])", r"\\\1", match["set"]).replace("--", r"-\-")
            out.append(f"[{'^' if match['not'] else ''}{inside}]")
        else:
            out.append(re.escape(wild))
    try:
        return re.compile("".join(out), re.S)
    except re.error as error:
        raise SourceError(f"the pattern {segment!r} cannot be read: {error}") from error
