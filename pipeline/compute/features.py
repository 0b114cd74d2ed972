"""Sums of exponentials by NumPy: exponents are products of coefficients with features of the pixels.

The features of a pixel are 1, its deviations from a center, and the products of these. All exponents of a
tile of pixels are one matrix product, which is followed by NumPy's exponential and by a sum over the kernels.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.exponent import DIGITS
from pipeline.compute.log_sum import FLOOR
from pipeline.compute.program import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent

    Array = NDArray[np.float64]

# The count of numbers in the exponents and features of a tile, which stay near a core.
_TILE_VALUES = 72 * 1024
# The lengths of tiles: all columns of the loops of BLAS are alike in a multiple of 32, see `is_even`.
_COLUMNS = 32
_BLOCK = 1024
_LONGEST = 4096
_SHORT = 512
# OpenBLAS computes a product of so many multiplications in the calling thread. A product of a vector, for
# which it takes threads sooner, never occurs.
_MULTIPLICATIONS = 2**18
_FEWEST_ROWS = 2
# A cache line, where every buffer begins. The loops of some BLAS depend on that.
_ALIGNMENT = 64
# Sums of exponentials are taken relative to the highest exponent if that is lower than this number.
_FAR = -600.0
# NumPy's exponential takes ten times longer where its result is less than a normal number. The exponential of
# this number is 3e-308. Sums that are hardly larger become 0, as the sums of far pixels are elsewhere.
_LOWEST = -708.0
_SMALLEST = 1e-300


@dataclass(frozen=True, eq=False)
class Expansion:
    """Exponents as sums of coefficients times features of ``t = x - centers``.

    Attributes
    ----------
    centers : ndarray, shape (C,)
    coefficients : ndarray, shape (K, F)
        Of 1, of each ``t_i``, and of each ``t_i * t_i``, or ``t_i * t_j`` for i <= j if some are needed.
    is_full : bool
        Whether there are products of two channels.
    conditions : ndarray, shape (K,)
        How much more the terms of a square can be than the square itself: 1 for a diagonal kernel.
    remainders : ndarray, shape (K,)
        How much the mean's distance from the center adds to the terms.

    Notes
    -----
    Let A be half the precision of a kernel, S the square root of its diagonal, R the matrix with A = S R S,
    d = x - mean, m = mean - centers, t = d + m, and Q = d' A d. The exponent is offset - Q. With the largest
    eigenvalue r of abs(R) and the lowest l of R, the absolute values of the terms sum up to at most

    abs(offset) + abs(t)' abs(A) abs(t) + 2 abs(m)' abs(A) abs(t) + abs(m)' abs(A) abs(m)
    = abs(offset) + (abs(t) + abs(m))' abs(A) (abs(t) + abs(m))
    <= abs(offset) + r abs(S (abs(d) + 2 abs(m)))**2
    <= abs(offset) + 2 r (abs(S d)**2 + 4 abs(S m)**2)
    <= abs(offset) + 2 (r / l) Q + 8 r abs(S m)**2,

    since Q >= l abs(S d)**2. `conditions` are r / l, and `remainders` are 8 r abs(S m)**2.
    """

    centers: Array
    coefficients: Array
    is_full: bool
    conditions: Array
    remainders: Array

    @property
    def n_features(self) -> int:
        """The number of features."""
        return int(self.coefficients.shape[1])

    @property
    def largest(self) -> float:
        """The largest sum over a kernel of the absolute coefficients of the products."""
        products = self.coefficients[:, 1 + len(self.centers) :]
        return float(np.abs(products).sum(axis=1).max())


@lru_cache(maxsize=64)
def expand(terms: tuple[Exponent, ...]) -> Expansion:
    """Return exponents as sums over features. Their coefficients have one rounding."""
    is_full = any(row.factors for term in terms for row in term.rows)
    with localcontext() as context:
        context.prec = DIGITS
        matrices = [_matrix(term) for term in terms]
        means = [[row.centers[-1][1] for row in term.rows] for term in terms]
        channels = range(len(means[0]))
        diagonals = np.array([[float(matrix[i][i]) for i in channels] for matrix in matrices])
        # This center makes the sum of the distances of all means from it, in standard deviations, least.
        shares = diagonals / diagonals.max(axis=0)
        centers = (shares * means).sum(axis=0) / shares.sum(axis=0)
        rows = [
            _coefficients(term, matrix, mean, centers.tolist(), is_full=is_full)
            for term, matrix, mean in zip(terms, matrices, means, strict=True)
        ]
    roots = np.sqrt(diagonals)
    highest, lowest = np.ones(len(terms)), np.ones(len(terms))
    if is_full:
        dense = np.array([[[float(number) for number in row] for row in matrix] for matrix in matrices])
        dense /= roots[:, :, np.newaxis] * roots[:, np.newaxis]
        highest = np.linalg.eigvalsh(np.abs(dense))[:, -1]
        # Eigenvalues have an error of a few roundings of the highest one.
        lowest = np.linalg.eigvalsh(dense)[:, 0] - 1e-14 * len(channels) * highest
    conditions = np.divide(highest, lowest, out=np.full(len(terms), math.inf), where=lowest > 0)
    with np.errstate(over="ignore"):
        remainders = 8 * highest * ((roots * (np.array(means) - centers)) ** 2).sum(axis=1)
    return Expansion(centers, np.array(rows), is_full, conditions, remainders)


def _matrix(term: Exponent) -> list[list[Decimal]]:
    """Return the matrix of the squares of an exponent, which are subtracted from its offset."""
    channels = range(len(term.rows))
    matrix = [[Decimal(0) for _ in channels] for _ in channels]
    for last, row in enumerate(term.rows):
        factors = [*row.factors, (last, Decimal(1))]
        for i, factor in factors:
            scaled = -row.scale * factor
            for j, other in factors:
                matrix[i][j] += scaled * other
    return matrix


def _coefficients(
    term: Exponent, matrix: list[list[Decimal]], mean: list[float], centers: list[float], *, is_full: bool
) -> list[float]:
    """Return the coefficients of an exponent."""
    shifts = [Decimal(one) - Decimal(center) for one, center in zip(mean, centers, strict=True)]
    linear = [
        sum((a * shift for a, shift in zip(row, shifts, strict=True) if a), Decimal(0)) for row in matrix
    ]
    constant = term.offset - sum((a * shift for a, shift in zip(linear, shifts, strict=True)), Decimal(0))
    channels = range(len(mean))
    products = [-matrix[i][i] for i in channels]
    if is_full:
        products = [-matrix[i][j] * (1 if i == j else 2) for i in channels for j in channels[i:]]
    return [float(number) for number in (constant, *(2 * one for one in linear), *products)]


@dataclass(frozen=True)
class FeatureSum(Reduction):
    """The sum of the exponentials of some exponents, or its logarithm.

    Notes
    -----
    A pixel has the same bits wherever it stands: there are two lengths of tiles, the rest of the last tile is
    computed and left out, and every operation treats all columns of both tiles alike.
    """

    terms: tuple[Exponent, ...]
    is_log: bool

    def fill(self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool) -> None:
        """Fill a plane of shape (n,) from the channel planes, in the calling thread."""
        del serial
        long, short = self._layout.lengths
        start = 0
        with np.errstate(all="ignore"):
            while start < len(out):
                length = long if len(out) - start > long // 2 else short
                part = slice(start, min(start + length, len(out)))
                tile = _per_thread.tile(self._coefficients.shape, length)
                self._fill_tile(tile, planes[:, part], out[part])
                start += length

    def _fill_tile(self, tile: _Tile, planes: Array, out: NDArray[Any]) -> None:
        n_channels, n_pixels = planes.shape
        deviations, products = tile.features[1 : 1 + n_channels], tile.features[1 + n_channels :]
        np.subtract(planes, self._expansion.centers[:, np.newaxis], out=deviations[:, :n_pixels])
        self._multiply(deviations, products)
        for piece in self._layout.pieces:
            self._product(self._coefficients[piece], tile.features, tile.exponents[piece])
        n_kernels = len(self.terms)
        self._reduce(tile.exponents[:n_kernels], tile.lowest[:n_kernels], tile.values)
        np.copyto(out, tile.values[:n_pixels], casting="unsafe")

    @property
    def scratch_bytes(self) -> int:
        """The memory of the tiles, of which a thread keeps those of two sums."""
        return 2 * (2 * sum(self._coefficients.shape) + 4) * sum(self._layout.lengths) * 8

    def _multiply(self, deviations: Array, products: Array) -> None:
        """Fill the features that are products."""
        if not self._expansion.is_full:
            np.multiply(deviations, deviations, out=products)
            return
        first = 0
        for channel in range(len(deviations)):
            others = deviations[channel:]
            np.multiply(others, deviations[channel], out=products[first : first + len(others)])
            first += len(others)

    def _reduce(self, exponents: Array, lowest: Array, values: Array) -> None:
        """Fill the values of a tile from its exponents, which are overwritten."""
        if not self.is_log:
            _sum_exponentials(exponents, lowest, values)
            values *= ~(values < _SMALLEST)
            return
        np.maximum.reduce(exponents, axis=0, out=values)
        # An exponent that would be minus infinity stays finite.
        np.maximum(values, FLOOR, out=values)
        if len(exponents) == 1:
            return
        shifts = np.where(values < _FAR, values, 0.0)
        if shifts.any():
            # Other pixels of the tile keep their bits.
            exponents -= shifts
        _sum_exponentials(exponents, lowest, values)
        np.log(values, out=values)
        values += shifts
        np.maximum(values, FLOOR, out=values)

    @cached_property
    def _expansion(self) -> Expansion:
        return expand(self.terms)

    @cached_property
    def _coefficients(self) -> Array:
        """The coefficients, with as many rows as a product needs."""
        rows = self._expansion.coefficients
        padded = _aligned(max(_FEWEST_ROWS, len(rows)), rows.shape[1])
        padded[:], padded[: len(rows)] = 0.0, rows
        return padded

    @cached_property
    def _layout(self) -> Layout:
        return tile_layout(*self._coefficients.shape)

    @cached_property
    def _product(self) -> Callable[[Array, Array, Array], object]:
        rows = {piece.stop - piece.start for piece in self._layout.pieces}
        n_features = self._coefficients.shape[1]
        is_alike = all(is_even(n_rows, n_features, self._layout.lengths) for n_rows in rows)
        return np.matmul if is_alike else _product_by_loops


class _Tile(NamedTuple):
    """The memory of a tile. `lowest` holds one number, with which itself maximum() isn't vectorized."""

    features: Array
    exponents: Array
    lowest: Array
    values: Array

    @classmethod
    def of(cls, shape: tuple[int, ...], length: int) -> _Tile:
        """Make a tile for coefficients of a shape. Columns that no pixel fills are computed too."""
        n_kernels, n_features = shape
        features, lowest = _aligned(n_features, length), _aligned(n_kernels, length)
        features[0], features[1:], lowest[:] = 1.0, 0.0, _LOWEST
        return cls(features, _aligned(n_kernels, length), lowest, _aligned(length))


class _PerThread(threading.local):
    """The last tiles of each thread, because their pages cost as much time as the pixels of few kernels."""

    def __init__(self) -> None:
        self.tile = lru_cache(maxsize=4)(_Tile.of)


_per_thread = _PerThread()


def _sum_exponentials(exponents: Array, lowest: Array, values: Array) -> None:
    np.maximum(exponents, lowest, out=exponents)
    np.exp(exponents, out=exponents)
    np.add.reduce(exponents, axis=0, out=values)


class Layout(NamedTuple):
    """The numbers of pixels of a long and a short tile, and the kernels whose exponents are one product."""

    lengths: tuple[int, int]
    pieces: tuple[slice, ...]


def tile_layout(n_kernels: int, n_features: int) -> Layout:
    """Return how the exponents of so many kernels, at least two, are computed."""
    longest = min(_LONGEST, _TILE_VALUES // (n_kernels + n_features))
    longest = min(longest, _MULTIPLICATIONS // (n_features * _FEWEST_ROWS))
    # Strips of pixels are multiples of 1024, so that such tiles fill them.
    columns = _COLUMNS if longest < _BLOCK else _BLOCK
    length = max(columns, longest // columns * columns)
    most = max(_FEWEST_ROWS, _MULTIPLICATIONS // (n_features * length))
    n_pieces = -(-n_kernels // most)
    ends = [n_kernels * number // n_pieces for number in range(n_pieces + 1)]
    # Rows that are in two products are computed twice.
    stops = (max(stop, _FEWEST_ROWS) for stop in ends[1:])
    pieces = (slice(min(start, stop - _FEWEST_ROWS), stop) for start, stop in zip(ends, stops, strict=False))
    return Layout((length, min(length, _SHORT)), tuple(pieces))


@lru_cache(maxsize=256)
def is_even(n_rows: int, n_features: int, lengths: tuple[int, ...]) -> bool:
    """Return whether the matrix product of this machine treats all columns of some lengths alike.

    A BLAS may sum in another order in the last columns, which its widest loop leaves. Then equal columns give
    different bits. The order depends on the shapes and on the alignment alone, so that a few products show
    it.
    """
    random = np.random.default_rng(0)
    left = _aligned(n_rows, n_features)
    for _ in range(8):
        left[:], column = random.normal(size=left.shape), random.normal(size=(n_features, 1))
        found = []
        for length in lengths:
            right, out = _aligned(n_features, length), _aligned(n_rows, length)
            right[:] = column
            np.matmul(left, right, out=out)
            found.append(out)
        if any((out != found[0][:, :1]).any() for out in found):
            return False
    return True


def _product_by_loops(left: Array, right: Array, out: Array) -> None:
    """Fill `out` with a matrix product. NumPy's own loops treat all columns alike, but are slower."""
    np.einsum("kf,fn->kn", left, right, out=out)


def _aligned(*shape: int) -> Array:
    """Return an array that begins at a cache line."""
    n_bytes = math.prod(shape) * 8
    memory = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + n_bytes].view(np.float64).reshape(shape)
