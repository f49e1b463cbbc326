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

GROUP_ALIASES: Final = {"modify": "modification"}
"""Other words for the groups."""

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
    r"creativecommons\.org/(?:licenses/(?P<code>by(?:-(?:nc|nd|sa))*)(?:/(?P<version>\d\.\d))?(?![\w-])"
    r"|(?P<pd>(?:licenses/)?publicdomain(?:/(?P<kind>zero|mark))?))"
)
_CC_CODE: Final = re.compile(
    r"^(?:cc[- ])?(?P<code>by(?:[- ](?:nc|nd|sa))*)(?:[- ]?v?(?P<version>\d+\.\d+))?(?:[- ].*)?$"
)

_NAMED: Final = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/[\w./-]+"
    r"|\bcc0\b(?:[- ]?1\.0)?"
    r"|\bcc[- ]by(?:[- ](?:nc|nd|sa))*(?:[- ]v?\d\.\d)?",
    re.IGNORECASE,
)
_SPELLED: Final = re.compile(
    r"\b(?:creative commons|cc)[ :,-]{1,3}attribution"
    r"(?P<terms>(?:[ -]{1,3}(?:non[ -]?commercial|share[ -]?alike|no[ -]?deriv\w{0,8}))*)"
    r"(?:[ ,v(-]{0,4}(?P<version>\d\.\d))?",
    re.IGNORECASE,
)
_TERMS: Final = {"comm": "nc", "deriv": "nd", "alike": "sa"}
_IN_PUBLIC_DOMAIN: Final = re.compile(
    r"(?<!not in the )(?<!not )\bpublic[ -]?domain\b|\bno (?:known )?copyright restrictions?\b"
    r"|ldf/vocab/CS-PUB",
    re.IGNORECASE,
)
_ALL_RESERVED: Final = re.compile(
    r"\ball rights (?:are )?reserved\b|rightsstatements\.org/(?:vocab|page)/InC/", re.IGNORECASE
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
        return f"cc-{url['code']}-{url['version']}" if url["version"] else f"cc-{url['code']}"
    if value in _ALIASES:
        return _ALIASES[value]
    if code := _CC_CODE.match(value):
        parts = code["code"].replace(" ", "-")
        return f"cc-{parts}-{code['version']}" if code["version"] else f"cc-{parts}"
    return re.sub(r"[\s_]+", "-", value)[:80]


def find_licence(statement: str) -> str:
    """Return the licence that a sentence or an address names, `unknown` when it names none.

    A bare copyright line names none; one that reserves all rights says so.

    >>> find_licence("© 2019 A. Person. Licensed under CC BY-SA 4.0.")
    'cc-by-sa-4.0'
    >>> find_licence("Creative Commons Attribution-NonCommercial 2.0 Generic")
    'cc-by-nc-2.0'
    """
    if match := _NAMED.search(statement):
        return normalise_licence(match[0])
    if match := _SPELLED.search(statement):
        terms = [code for word, code in _TERMS.items() if word in match["terms"].lower()]
        version = f"-{match['version']}" if match["version"] else ""
        return "-".join(("cc", "by", *terms)) + version
    if _IN_PUBLIC_DOMAIN.search(statement):
        return PUBLIC_DOMAIN
    return RESERVED if _ALL_RESERVED.search(statement) else UNKNOWN


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
