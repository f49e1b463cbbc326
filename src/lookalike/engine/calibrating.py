"""Tuning the vector index for words: text queries lie off the images' distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lookalike.engine.stores import Stores
    from lookalike.ports.encoder import Encoder

QUERIES: Final = 256
LEAST_LETTERS: Final = 4

_THINGS: Final = (
    "dog", "cat", "child", "man", "woman", "crowd", "face", "horse", "bird", "flower", "tree",
    "mountain", "beach", "river", "sunset", "street", "car", "bicycle", "boat", "train", "plane",
    "house", "church", "bridge", "castle", "kitchen", "food", "fruit", "cake", "drink", "book",
    "painting", "chart", "map", "text", "logo", "snow", "forest", "desert", "night sky",
)  # fmt: skip
_PHRASES: Final = (
    "{}", "a photo of a {}", "{} outdoors in the sun", "a person with a {}", "an old {}",
    "two {}s together", "a red {}", "close-up of a {}",
)  # fmt: skip


def calibrate(stores: Stores, encoder: Encoder | None) -> None:
    """Tune an index that has sealed segments and was not tuned for words yet."""
    stats = stores.vectors.stats()
    if not stats.sealed_rows or "text" in stats.ann_recall_at_10:
        return
    if encoder is None or not encoder.has_text:
        return
    stores.vectors.calibrate(encoder.encode_texts(sample_texts(stores)))


def sample_texts(stores: Stores) -> list[str]:
    """Return texts as people may ask them: the index's own captions, then common phrases."""
    rows = stores.catalog.state().rows
    step = max(1, rows // QUERIES)
    own: dict[str, None] = {}
    for record in stores.catalog.records(range(0, rows, step)):
        for source in record.sources if record is not None else ():
            text = (source.caption or source.alt_text or source.title).partition("\n")[0].strip()
            if len(text) >= LEAST_LETTERS:
                own[text[:200]] = None
    return [*own, *common_texts()][:QUERIES]


def common_texts() -> list[str]:
    """Return texts that anyone may ask of any pictures."""
    return [phrase.format(thing) for phrase in _PHRASES for thing in _THINGS][:QUERIES]
