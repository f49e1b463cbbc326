"""Names for the arrays that cross ports."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatMatrix: TypeAlias = NDArray[np.float32]
"""`(n, dim)` float32."""

HalfMatrix: TypeAlias = NDArray[np.float16]
"""`(n, dim)` float16."""

RowArray: TypeAlias = NDArray[np.int64]
"""`(n,)` int64 rows."""

Pixels: TypeAlias = NDArray[np.uint8]
"""`(height, width, 3)` or `(n, height, width, 3)` uint8, sRGB."""

BoolMask: TypeAlias = NDArray[np.bool_]
"""`(rows,)` bool, True where a row is meant."""
