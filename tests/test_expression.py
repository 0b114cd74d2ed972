"""Programs: any number of kernels and channels, exact, and safe on many threads."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import pixels_near, random_mixture, relative_error, scipy_density

from pipeline import Density, Mixture
from pipeline.expression import compile_program


def run(mixture: Mixture, pixels: np.ndarray[Any, Any], *, serial: bool = True) -> np.ndarray[Any, Any]:
    """Run a mixture's density over (n, C) pixels in float64."""
    out = np.empty(len(pixels))
    compile_program(Density(mixture), np.dtype("float64")).run(
        np.ascontiguousarray(pixels.T), out, serial=serial
    )
    return out


@pytest.mark.parametrize(
    ("n_kernels", "n_channels", "full"),
    [
        (1, 1, False),
        (16, 3, False),
        (26, 3, False),
        (36, 3, False),
        (100, 3, False),
        (1000, 3, False),
        (16, 3, True),
        (100, 3, True),
        (3, 20, True),
        (2, 56, False),
        (2, 57, True),
        (2, 64, False),
        (2, 64, True),
    ],
)
def test_agrees_with_scipy(n_kernels: int, n_channels: int, full: bool) -> None:
    """Densities equal SciPy's to 1e-12, however many registers the mixture would need."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = pixels_near(mixture, (300,))
    assert relative_error(run(mixture, pixels), scipy_density(pixels, mixture)) < 1e-12


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 12), st.booleans(), st.integers(0, 2**32))
def test_any_mixture_agrees_with_scipy(n_kernels: int, n_channels: int, full: bool, seed: int) -> None:
    """Wherever the batches' borders fall, densities equal SciPy's."""
    mixture = random_mixture(n_kernels, n_channels, full=full, seed=seed)
    pixels = pixels_near(mixture, (20,), seed)
    assert relative_error(run(mixture, pixels), scipy_density(pixels, mixture)) < 1e-12


def test_far_pixels_agree_where_scipy_is_normal() -> None:
    """Down to the smallest normal number, where exponents are near -700, the error stays below 1e-12."""
    mixture = Mixture([0.3, 0.7], [[10, 20, 30], [100, 90, 80]], [[1, 4, 9], [16, 2, 3]])
    pixels = np.random.default_rng(0).uniform(0, 120, (20_000, 3))
    wanted = scipy_density(pixels, mixture)
    assert wanted[wanted >= np.finfo(float).tiny].min() < 1e-300
    assert relative_error(run(mixture, pixels), wanted) < 1e-12


def test_a_narrow_kernel_in_many_channels_keeps_its_scale() -> None:
    """A factor beyond the range of floats times one below it still gives the density."""
    mixture = Mixture([1.0], np.zeros((1, 64)), np.full((1, 64), 1e-12))
    pixels = np.full((1, 64), 4.9e-6)
    assert relative_error(run(mixture, pixels), scipy_density(pixels, mixture)) < 1e-12


def test_pieces_do_not_change_a_bit(numexpr_threads: int) -> None:
    """Alone or with numexpr's threads, in pieces or at once, every pixel gives the same bits."""
    del numexpr_threads
    mixture = random_mixture(40, 3)
    pixels = pixels_near(mixture, (5000,))
    whole = run(mixture, pixels, serial=False)
    np.testing.assert_array_equal(run(mixture, pixels), whole)
    np.testing.assert_array_equal(np.concatenate([run(mixture, part) for part in np.split(pixels, 8)]), whole)


def test_threads_share_a_program_safely(numexpr_threads: int) -> None:
    """Two threads evaluating one mixture on different blocks, a thousand times, are right every time."""
    del numexpr_threads
    mixture = random_mixture(40, 3)
    blocks = [pixels_near(mixture, (3000,), seed) for seed in (1, 2)]
    wanted = [run(mixture, block) for block in blocks]

    def check(which: int) -> bool:
        return all(np.array_equal(run(mixture, blocks[which]), wanted[which]) for _ in range(50))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(check, [0, 1] * 10))


def test_threads_share_a_program_safely_with_numexprs_own(numexpr_threads: int) -> None:
    """A call that uses numexpr's threads may run beside serial ones."""
    del numexpr_threads
    mixture = random_mixture(16, 3)
    pixels = pixels_near(mixture, (20_000,))
    wanted = run(mixture, pixels)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda n: run(mixture, pixels, serial=bool(n % 2)), range(60))
        assert all(np.array_equal(result, wanted) for result in results)


def test_programs_are_text() -> None:
    """A program pickles, runs after it, and is written once for equal quantities."""
    program = compile_program(Density(random_mixture(3, 3)), np.dtype("float64"))
    assert pickle.loads(pickle.dumps(program)) == program  # noqa: S301  made here
    assert compile_program(Density(random_mixture(3, 3)), np.dtype("float64")) is program


def test_no_setting_of_numexpr_changes(numexpr_threads: int) -> None:
    """Numexpr's thread count is the user's own."""
    import numexpr  # noqa: PLC0415  beside its one use

    mixture = random_mixture(2, 3)
    run(mixture, pixels_near(mixture, (5000,)))
    assert numexpr.get_num_threads() == numexpr_threads
