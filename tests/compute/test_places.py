"""Tests of numbers that belong to places: distinct, uniform, and the same for every division into regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from pipeline.compute.places import N_GROUPS, check_seed, groups_of, priorities_of

HEIGHT, WIDTH = 60, 90


def splitmix64(state: int, n: int) -> list[int]:
    """Return the next outputs of the generator, as its authors' C program computes them."""
    outputs = []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        outputs.append(z ^ (z >> 31))
    return outputs


def whole_of(seed: int, extent: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[Any, Any]:
    """Return priorities and groups of a whole image."""
    region = slice(0, extent[0]), slice(0, extent[1])
    return priorities_of(*region, extent[1], seed), groups_of(*region, extent, seed)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63])
def test_priorities_are_outputs_of_splitmix64(seed: int) -> None:
    """The pixels get successive outputs of the generator, from a state that depends on the seed."""
    got = priorities_of(slice(0, 2), slice(0, 5), 5, seed).ravel().tolist()
    assert got == splitmix64(seed * 0xBF58476D1CE4E5B9 * 0x9E3779B97F4A7C15 % 2**64, 10)


@pytest.mark.parametrize("seed", [0, 7])
def test_priorities_are_distinct_and_uniform(seed: int) -> None:
    """No number occurs twice, and each byte of the numbers is uniform (chi-square, 0.1% on both sides)."""
    numbers = priorities_of(slice(0, 300), slice(0, 400), 400, seed)
    assert numbers.dtype == np.uint64
    assert len(np.unique(numbers)) == 120_000
    low, high = chi2.ppf([0.001, 0.999], 255)
    for shift in range(0, 64, 8):
        counts = np.bincount(
            (numbers >> np.uint64(shift) & np.uint64(255)).ravel().astype(int), minlength=256
        )
        assert low < ((counts - 120_000 / 256) ** 2).sum() / (120_000 / 256) < high


def test_neighbors_have_independent_priorities() -> None:
    """Pixels side by side, and one above the other, are as uncorrelated as random numbers."""
    numbers = priorities_of(slice(0, 300), slice(0, 400), 400, 0) / 2**64 - 0.5
    for one, other in ((numbers[:, 1:], numbers[:, :-1]), (numbers[1:], numbers[:-1])):
        assert abs((one * other).mean() * 12) < 4 / np.sqrt(one.size)


@given(st.integers(0, HEIGHT), st.integers(0, HEIGHT), st.integers(0, WIDTH), st.integers(0, WIDTH))
def test_regions_are_parts_of_the_whole(top: int, bottom: int, left: int, right: int) -> None:
    """A region has the numbers and the groups that the whole image has there."""
    rows, columns = slice(*sorted((top, bottom))), slice(*sorted((left, right)))
    priorities, groups = whole_of(3)
    np.testing.assert_array_equal(priorities_of(rows, columns, WIDTH, 3), priorities[rows, columns])
    np.testing.assert_array_equal(groups_of(rows, columns, (HEIGHT, WIDTH), 3), groups[rows, columns])


def test_places_of_a_giant_image() -> None:
    """Places above 2^32 have numbers of their own, and squares of 1024 pixels."""
    extent = (2**21, 2**21)
    rows, columns = slice(2**20 + 5, 2**20 + 9), slice(2**20, 2**20 + 2100)
    numbers = priorities_of(rows, columns, extent[1], 0)
    place = (2**20 + 5) * 2**21 + 2**20
    assert numbers[0, :3].tolist() == splitmix64(place * 0x9E3779B97F4A7C15 % 2**64, 3)
    groups = groups_of(rows, columns, extent, 0)
    assert (groups == groups[0]).all()
    assert set(np.flatnonzero(np.diff(groups[0].astype(int))) + 1) <= {1024, 2048}


@pytest.mark.parametrize(
    ("extent", "side"), [((60, 90), 16), ((1000, 1600), 63), ((20, 20), 16), ((1, 5), 16)]
)
def test_groups_are_constant_on_squares(extent: tuple[int, int], side: int) -> None:
    """An image has about 400 squares, of 16 pixels a side at least, each of one group."""
    groups = whole_of(0, extent)[1]
    assert groups.dtype == np.uint8
    firsts = groups[::side, ::side]
    spread = np.repeat(np.repeat(firsts, side, axis=0), side, axis=1)[: extent[0], : extent[1]]
    np.testing.assert_array_equal(groups, spread)
    if firsts.size > 4:
        # Smaller squares would be no squares of one group.
        assert np.diff(firsts.astype(int)).any(axis=1).all()


@pytest.mark.parametrize("seed", range(5))
def test_all_groups_occur_about_as_often(seed: int) -> None:
    """The squares are distributed uniformly among 20 groups (chi-square, 0.1% on both sides)."""
    counts = np.bincount(whole_of(seed, (640, 640))[1][::32, ::32].ravel(), minlength=N_GROUPS)
    assert len(counts) == N_GROUPS
    assert counts.all()
    low, high = chi2.ppf([0.001, 0.999], N_GROUPS - 1)
    assert low < ((counts - 20) ** 2).sum() / 20 < high


def test_another_seed_gives_other_numbers() -> None:
    """Seeds share no number at any place of a small image, and their groups agree by chance only."""
    seeds = [whole_of(seed, (640, 640)) for seed in (0, 1, 2)]
    numbers = np.concatenate([priorities.ravel() for priorities, _ in seeds])
    assert len(np.unique(numbers)) == numbers.size
    for one in range(3):
        for other in range(one):
            assert (seeds[one][1] == seeds[other][1]).mean() < 0.12


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), 3])
def test_seeds_are_integers_of_any_type(seed: Any) -> None:
    """A seed of NumPy is the same as one of Python."""
    assert type(check_seed(seed)) is int
    assert check_seed(seed) == 3


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0"])
def test_other_seeds_are_refused(seed: Any) -> None:
    """The message says which seed was got."""
    with pytest.raises(ValueError, match=f"seed is {seed!r}; wanted an integer of at least 0"):
        check_seed(seed)
