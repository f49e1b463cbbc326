"""Licence ids: SPDX-like, lower case, and the groups a filter may name."""

from __future__ import annotations

import re
from typing import Final

UNKNOWN: Final = "unknown"
RESERVED: Final = "all-rights-reserved"
PUBLIC_DOMAIN: Final = "public-domain"

GROUPS: Final[dict[str, str]] = {
    "cc": "any Creative Commons licence or CC0",
    "open": "public domain or a licence that lets anyone use, change and sell the picture",
    "commercial": "a licence that allows commercial use",
    "modification": "a licence that allows changes",
}

_ALIASES: Final[dict[str, str]] = {
    "": UNKNOWN,
    "none": UNKNOWN,
    "null": UNKNOWN,
    "pd": PUBLIC_DOMAIN,
    "pdm": PUBLIC_DOMAIN,
    "pdm-1.0": PUBLIC_DOMAIN,
    "publicdomain": PUBLIC_DOMAIN,
    "public domain": PUBLIC_DOMAIN,
    "no-known-copyright-restrictions": PUBLIC_DOMAIN,
    "no known copyright restrictions": PUBLIC_DOMAIN,
    "cc0-1.0": "cc0",
    "cc-zero": "cc0",
    "zero": "cc0",
    "copyright": RESERVED,
    "all rights reserved": RESERVED,
}
_CC_URL: Final = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<code>by[a-z-]*)/(?P<version>[\d.]+)|(?P<pd>publicdomain/(?P<kind>zero|mark)))"
)
_CC_CODE: Final = re.compile(
    r"^(?:cc[- ])?(?P<code>by(?:[- ](?:nc|nd|sa))*)(?:[- ]?v?(?P<version>\d+\.\d+))?(?:[- ].*)?$"
)


def normalise_licence(text: str | None) -> str:
    """Return the licence id for a name, an SPDX id or a licence URL.

    >>> normalise_licence("https://creativecommons.org/licenses/by-sa/4.0/")
    'cc-by-sa-4.0'
    >>> normalise_licence("CC BY-NC 2.0")
    'cc-by-nc-2.0'
    """
    value = (text or "").strip().lower()
    if url := _CC_URL.search(value):
        if url["pd"]:
            return "cc0" if url["kind"] == "zero" else PUBLIC_DOMAIN
        return f"cc-{url['code'].rstrip('-')}-{url['version']}"
    if value in _ALIASES:
        return _ALIASES[value]
    if code := _CC_CODE.match(value):
        parts = code["code"].replace(" ", "-")
        return f"cc-{parts}-{code['version']}" if code["version"] else f"cc-{parts}"
    return re.sub(r"[\s_]+", "-", value)[:80]


def licence_matches(licence: str, wanted: str) -> bool:
    """Tell whether a licence id is the wanted id, one of its versions, or in the wanted group."""
    if wanted == "cc":
        return licence == "cc0" or licence.startswith("cc-")
    if wanted == "open":
        return is_commercial(licence) and is_modifiable(licence)
    if wanted == "commercial":
        return is_commercial(licence)
    if wanted == "modification":
        return is_modifiable(licence)
    wanted = normalise_licence(wanted)
    return licence == wanted or re.fullmatch(re.escape(wanted) + r"-[\d.]+", licence) is not None


def is_free(licence: str) -> bool:
    """Tell whether the id names a stated licence other than all rights reserved."""
    return licence not in {UNKNOWN, RESERVED}


def is_commercial(licence: str) -> bool:
    """Tell whether the licence allows commercial use."""
    return is_free(licence) and "nc" not in licence.split("-")


def is_modifiable(licence: str) -> bool:
    """Tell whether the licence allows changes."""
    return is_free(licence) and "nd" not in licence.split("-")
