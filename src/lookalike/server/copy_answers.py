"""The JSON forms of copies: as hits with evidence, and as groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.answers import hit_json
from lookalike.domain.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.engine.copies import FoundCopy
    from lookalike.engine.engine import Engine

_NOT_COMPARED: Final = 64
"""The distance that stands where no hashes were compared."""


def copy_hit(one: FoundCopy) -> Hit:
    """Return a copy as a hit, with what was measured and why it is one."""
    parts = {} if one.cosine is None else {"cosine": one.cosine}
    if (bits := _bits(one)) is not None:
        parts["phash_distance"] = float(bits)
    return Hit(one.record, one.score, one.score, parts, (one.reason,))


def copy_hit_json(one: FoundCopy) -> dict[str, Any]:
    """Return a copy as a hit that bears its evidence."""
    return hit_json(copy_hit(one)) | {"copy_of": evidence_json(one)}


def evidence_json(one: FoundCopy) -> dict[str, Any]:
    """Return why an image is held for a copy, and what was measured."""
    return {
        "reason": one.reason,
        "score": round(one.score, 4),
        "phash_distance": _bits(one),
        "cosine": None if one.cosine is None else round(one.cosine, 6),
    }


def _bits(one: FoundCopy) -> int | None:
    is_compared = one.hash_distance is not None and one.hash_distance < _NOT_COMPARED
    return one.hash_distance if is_compared else None


def groups_json(engine: Engine, references: Sequence[str]) -> list[dict[str, Any]]:
    """Return the groups in which images stand now, each once."""
    copies = engine.copies
    found = {group.number: group for one in references if (group := copies.group_of(one))}
    return [group.to_json() for group in found.values()]
