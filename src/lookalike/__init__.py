"""Lookalike: search pictures by words and by picture.

import lookalike

with lookalike.open("my.index", create=True) as ix:
    ix.index("~/Pictures")
    ix.search("a dog on a beach", color="blue")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.domain.errors import LookalikeError

if TYPE_CHECKING:
    from lookalike.api import Index, Results, Wishes, open  # noqa: A004 - lookalike.open reads as it should

__version__ = "0.1.0"
__all__ = ["Index", "LookalikeError", "Results", "Wishes", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """Load the interface with its first use, so that importing costs nothing."""
    if name in {"Index", "Results", "Wishes", "open"}:
        from lookalike import api

        return getattr(api, name)
    raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
