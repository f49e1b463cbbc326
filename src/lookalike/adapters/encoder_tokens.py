"""Turn texts into token ids with a bundle's `tokenizer.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.errors import BundleError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from lookalike.domain.bundle import Bundle, TextTower

_LONGEST_TEXT = 100_000
"""Characters looked at; far more than any context holds."""


@dataclass(frozen=True, slots=True)
class TokenReader:
    """A tokenizer that cuts at the context length and pads as the tower wants."""

    tokenizer: Tokenizer

    @classmethod
    def load(cls, bundle: Bundle, tower: TextTower) -> TokenReader:
        """Open the tokenizer file.

        Raises:
            MissingFileError: it is not there.
            BundleError: it is not in the `tokenizers` library's format.
        """
        from tokenizers import Tokenizer

        path = bundle.path(tower.tokenizer)
        if not path.is_file():
            raise MissingFileError(
                f"the bundle {bundle.name!r} names {path.name}, which is not there",
                hint="install or fetch the bundle again",
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BundleError(
                f"{path.name} of the bundle {bundle.name!r} is no tokenizer: {error}",
                hint="it must be a tokenizer.json of the `tokenizers` library",
            ) from error
        tokenizer.enable_truncation(max_length=tower.context_length)
        length = tower.context_length if tower.padding == "context" else None
        tokenizer.enable_padding(pad_id=tower.pad_id, length=length)
        return cls(tokenizer)

    def read(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give ids and mask, both `(n, length)`; a text with no token gets one of padding."""
        cut = [_encodable(text[:_LONGEST_TEXT]) for text in texts]
        found = self.tokenizer.encode_batch(cut)
        ids = np.array([item.ids for item in found], np.int64)
        mask = np.array([item.attention_mask for item in found], np.int64)
        if ids.shape[1] == 0:
            return np.zeros((len(texts), 1), np.int64), np.ones((len(texts), 1), np.int64)
        return ids, mask


def _encodable(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode("utf-8")
