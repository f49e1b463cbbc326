"""How many terms of an image a store of bounded size keeps."""

from __future__ import annotations

_SITE = "site:"


def bounded_terms(
    terms: frozenset[str], *, most: int, most_bytes: int, most_term_bytes: int
) -> list[str]:
    """Return the sorted terms that fit; what is left out are long sites of images seen widely.

    An image may have been seen on thousands of sites. A domain stands before its sub-domains,
    and everything else before sites, so that only the least asked for is lost.
    """
    fitting = [term for term in terms if len(term.encode()) <= most_term_bytes]
    fitting.sort(key=lambda term: (term.startswith(_SITE), len(term), term))
    kept: list[str] = []
    left = most_bytes
    for term in fitting[:most]:
        left -= len(term.encode())
        if left < 0:
            break
        kept.append(term)
    return sorted(kept)
