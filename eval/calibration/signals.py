"""What may tell whether a photograph answers a query: each `(n,)`, more is surer.

`z`: how far its cosine stands above the background's middle, in robust spreads (a normal tail).
`empirical`: how few of the sample are as near. `extreme`: a tail fitted to the nearest tenth of
the sample (peaks over a threshold, exponential), times the size of the corpus: how many images are
as near by chance. `cohort`: how far the query stands out among other queries of its kind for the
same photograph (t-norm, Auckenthaler et al. 2000). `both`: the mean of z and cohort (s-norm).
"""

from __future__ import annotations

import numpy as np

LEAST_SPREAD = 0.02
TAIL = 0.1


def signals_of(one, cohort: np.ndarray) -> dict[str, np.ndarray]:
    """Return every signal of a query's candidates; `cohort` is `(c, dim)` other queries."""
    background = one.sample @ one.vector
    centre = np.median(background)
    spread = max(1.4826 * np.median(np.abs(background - centre)), LEAST_SPREAD)
    z = (one.cosines - centre) / spread
    others = one.vectors @ cohort.T
    middle = others.mean(axis=1)
    out = (one.cosines - middle) / np.maximum(others.std(axis=1), LEAST_SPREAD)
    tail = np.sort(background)[-max(2, int(TAIL * len(background))) :]
    excess = max(float((tail - tail[0]).mean()), 1e-3)
    chance = np.log(TAIL) - np.maximum(one.cosines - tail[0], 0.0) / excess
    below = np.searchsorted(np.sort(background), one.cosines, side="left")
    ranks = (others >= one.cosines[:, None]).sum(axis=1)
    return {
        "cosine": one.cosines,
        "z": z,
        "plain z": (one.cosines - background.mean()) / background.std(),
        "empirical": below / len(background) + 1e-6 * one.cosines,
        "extreme": -(chance + np.log(one.size)),
        "cohort": out,
        "cohort rank": -np.log1p(ranks) + 1e-3 * out,
        "both": (z + out) / 2.0,
    }
