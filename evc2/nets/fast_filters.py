"""Short convolutions with fewer multiplications (Toom-Cook, Winograd), as three matrices.

Winograd, "Arithmetic complexity of computations" (1980): m outputs of a filter of r taps need only m + r - 1
multiplications. With y = A [(G h) * (B x)], x the m + r - 1 inputs that m outputs depend on, h the taps and *
elementwise, an m-output tile of a convolutional layer costs m + r - 1 matrix products of its channels instead of m r.
Layers of more taps nest two such algorithms, which keeps the numbers small and with them the rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Points of the interpolation besides infinity, those with the smallest rounding error first (Barabasz, Anderson,
#: Soodhalter and Gregg, "Error analysis and improving the accuracy of Winograd convolution", 2020).
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0, -0.5, 2.0)


@dataclass(frozen=True)
class Filter:
    """y = A [(G h) * (B x)]: ``tile`` outputs from ``tile + taps - 1`` inputs by ``products`` multiplications.

    Attributes:
        A: [tile, products].
        G: [products, taps].
        B: [products, tile + taps - 1].
        one: row of the products that counts once in every output (the point 1): a bias is added there.
        parts: (inner, outer) of a nested filter; product ``q * inner.products + j`` is product q of the outer one.
    """

    A: np.ndarray
    G: np.ndarray
    B: np.ndarray
    one: int
    parts: tuple[Filter, Filter] | None = None

    @property
    def tile(self) -> int:
        return self.A.shape[0]

    @property
    def taps(self) -> int:
        return self.G.shape[1]

    @property
    def products(self) -> int:
        return self.A.shape[1]


def toom_cook(tile: int, taps: int) -> Filter:
    """F(tile, taps): the transposed form of polynomial multiplication by evaluation and interpolation.

    Raises:
        ValueError: more than 8 products, or fewer than 3; the rounding error would be too large.
    """
    n = tile + taps - 1
    if not 3 <= n <= len(POINTS) + 1:
        raise ValueError(f"F({tile}, {taps}) needs {n} points")
    points = np.array(POINTS[: n - 1])

    def evaluate(degree: int) -> np.ndarray:
        at_infinity = np.eye(degree)[-1:]
        return np.concatenate((points[:, None] ** np.arange(degree), at_infinity))

    interpolate = np.linalg.inv(evaluate(n))
    g, b = evaluate(taps), interpolate.T
    # A row of G may be scaled if that of B is scaled back. Equal largest entries keep both in range.
    balance = np.sqrt(np.abs(b).max(axis=1) / np.abs(g).max(axis=1))[:, None]
    return Filter(evaluate(tile).T.copy(), g * balance, b / balance, one=1)


def nested(inner: Filter, outer: Filter) -> Filter:
    """A filter of ``inner.taps * outer.taps`` taps: `outer` runs over the tiles of `inner`.

    Raises:
        ValueError: the inner tile is not as long as its taps, so that blocks of taps do not fall on tiles.
    """
    if inner.tile != inner.taps:
        raise ValueError("nesting needs an inner filter with as many outputs as taps")
    tile, products = inner.tile * outer.tile, inner.products * outer.products
    taps, inputs = inner.taps * outer.taps, inner.tile * outer.tile + inner.taps * outer.taps - 1
    b = np.zeros((outer.products, inner.products, inputs))
    for step in range(outer.B.shape[1]):
        span = slice(step * inner.tile, step * inner.tile + inner.B.shape[1])
        b[:, :, span] += outer.B[:, step, None, None] * inner.B
    return Filter(
        np.kron(outer.A, inner.A).reshape(tile, products),
        np.kron(outer.G, inner.G).reshape(products, taps),
        b.reshape(products, inputs),
        one=outer.one * inner.products + inner.one,
        parts=(inner, outer),
    )


@lru_cache(maxsize=32)
def filter_for(taps: int) -> Filter:
    """A good algorithm for a number of taps (3 to 12); the filter may have more taps, to be filled with zeros.

    Raises:
        ValueError: no algorithm for so many.
    """
    if taps <= 5:
        return toom_cook(4, taps)
    if taps <= 12:
        return nested(toom_cook(4, 4), toom_cook(2, -(-taps // 4)))
    raise ValueError(f"no fast filter of {taps} taps")
