"""Tests of programs: any number of kernels and channels, exact, and safe on many threads."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import (
    hard_points,
    mpmath_reference,
    pixels_near,
    random_mixture,
    relative_error,
    scipy_density,
    scipy_reference,
)

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Mixture, Packed, Posterior
from pipeline.compute.expression import compile_program
from pipeline.compute.log_sum import LogSum

if TYPE_CHECKING:
    from pipeline.compute.program import Program
    from pipeline.models.quantity import Quantity

FLOAT64 = np.dtype("float64")


def run(mixture: Mixture, pixels: np.ndarray[Any, Any], *, serial: bool = True) -> np.ndarray[Any, Any]:
    """Return the density of a mixture at pixels (n, C) in float64."""
    return run_quantity(Density(mixture), pixels, serial=serial)[0][0]


def program_of(quantity: Quantity, dtype: np.dtype[Any] = FLOAT64) -> Program:
    """Return the program of one quantity."""
    return compile_program(((quantity, dtype),))


def run_quantity(quantity: Quantity, pixels: np.ndarray[Any, Any], *, serial: bool = True) -> tuple[Any, Any]:
    """Run the program of a quantity, and return the results, of shape (n_results, n), and the doubt."""
    dtype = quantity.output_dtype() if isinstance(quantity, Label) else FLOAT64
    out = np.empty((quantity.n_results, len(pixels)), dtype)
    (doubt,) = program_of(quantity, dtype).run(np.ascontiguousarray(pixels.T), [out], serial=serial)
    return out, doubt


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
    """Densities equal those of SciPy to 1e-12, however many registers the mixture would need."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = pixels_near(mixture, (300,))
    assert relative_error(run(mixture, pixels), scipy_density(pixels, mixture)) < 1e-12


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 12), st.booleans(), st.integers(0, 2**32))
def test_any_mixture_agrees_with_scipy(n_kernels: int, n_channels: int, full: bool, seed: int) -> None:
    """Densities equal those of SciPy, however the kernels are distributed among batches."""
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
    """Every pixel has the same bits, with or without the threads of numexpr, in pieces or at once."""
    del numexpr_threads
    mixture = random_mixture(40, 3)
    pixels = pixels_near(mixture, (5000,))
    whole = run(mixture, pixels, serial=False)
    np.testing.assert_array_equal(run(mixture, pixels), whole)
    np.testing.assert_array_equal(np.concatenate([run(mixture, part) for part in np.split(pixels, 8)]), whole)


def test_threads_share_a_program_safely(numexpr_threads: int) -> None:
    """Two threads that evaluate one mixture on different blocks a thousand times are right every time."""
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
    """A program can be pickled, and is made only once for equal quantities."""
    program = program_of(Density(random_mixture(3, 3)))
    assert pickle.loads(pickle.dumps(program)) == program  # noqa: S301  made here
    assert program_of(Density(random_mixture(3, 3))) is program


def test_no_setting_of_numexpr_changes(numexpr_threads: int) -> None:
    """The thread count of numexpr is left to the user."""
    import numexpr  # noqa: PLC0415  only this test uses it

    mixture = random_mixture(2, 3)
    run(mixture, pixels_near(mixture, (5000,)))
    assert numexpr.get_num_threads() == numexpr_threads


@pytest.mark.parametrize(
    "name",
    [
        *("density", "log-density", "log-ratio", "posterior", "posterior of kernels", "posterior of other"),
        *("confidence", "confidence of kernels", "entropy", "entropy of kernels"),
    ],
)
def test_pixels_that_are_not_doubtful_are_exact(name: str) -> None:
    """In plain float64 a pixel is within 1e-12 of mpmath unless the program marks it as doubtful."""
    certain, doubtful = 0.0, 0.0
    for case in hard_points():
        quantity = case.quantities[name]
        got, doubt = run_quantity(quantity, case.pixels)
        wanted = mpmath_reference(case.pixels, quantity).reshape(len(case.pixels), -1).T
        counts = np.abs(wanted) > 1e-300
        errors = np.abs(got - wanted) / np.where(counts, np.abs(wanted), np.inf)
        in_doubt = np.zeros(len(case.pixels), dtype=bool) if doubt is None else doubt > 0
        certain = max(certain, np.max(errors[:, ~in_doubt], initial=0.0))
        doubtful = max(doubtful, np.max(errors[:, in_doubt], initial=0.0))
    assert certain < 1e-12 < doubtful


@pytest.mark.parametrize("name", ["label", "label of kernels"])
def test_a_label_that_is_not_doubtful_is_right(name: str) -> None:
    """The label of the program is that of mpmath unless it is doubtful, which is rare."""
    shares = []
    for case in hard_points():
        got, doubt = run_quantity(case.quantities[name], case.pixels)
        in_doubt = np.zeros(len(case.pixels), dtype=bool) if doubt is None else doubt > 0
        wanted = mpmath_reference(case.pixels, case.quantities[name])
        np.testing.assert_array_equal(got[0][~in_doubt], wanted[~in_doubt])
        shares.append(in_doubt.mean())
    assert 0 < np.mean(shares) < 0.1


@pytest.mark.parametrize(
    ("n_kernels", "n_channels", "full"),
    [
        (1, 1, False),
        (2, 3, True),
        (17, 3, False),
        (33, 3, True),
        (40, 3, False),
        (3, 20, True),
        (300, 2, False),
    ],
)
def test_classes_of_any_number_and_width(n_kernels: int, n_channels: int, full: bool) -> None:
    """Kernels as classes, and classes of several kernels, however they are batched."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = pixels_near(mixture, (100,))
    classes = {str(k): random_mixture(1 + k % 3, n_channels, full=full, seed=k) for k in range(n_kernels)}
    for posterior in (Posterior(mixture), Posterior(classes)):
        got, _ = run_quantity(posterior, pixels)
        np.testing.assert_allclose(got, scipy_reference(pixels, posterior).T, rtol=1e-9, atol=1e-300)
        named = dict(zip(posterior.names, posterior.class_mixtures, strict=True))
        one = Posterior(named, posterior.priors, only=posterior.names[-1])
        np.testing.assert_allclose(run_quantity(one, pixels)[0][0], got[-1], rtol=1e-12, atol=1e-300)
        labels, _ = run_quantity(Label(named, posterior.priors), pixels)
        np.testing.assert_array_equal(labels[0], got.argmax(axis=0))
        for quantity in (Confidence(named, posterior.priors), Entropy(named, posterior.priors)):
            wanted = scipy_reference(pixels, quantity)
            np.testing.assert_allclose(run_quantity(quantity, pixels)[0][0], wanted, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("n_classes", [2, 16, 17, 32, 40])
def test_the_first_of_equal_classes_wins(n_classes: int) -> None:
    """The label of equal classes in one group or several is the first, and the tie is doubtful."""
    far = Mixture([1.0], [[50.0]], [[1.0]])
    near = random_mixture(1, 1)
    for first in {0, n_classes // 2 - 1, n_classes - 2}:
        classes = {str(number): near if number >= first else far for number in range(n_classes)}
        labels, doubt = run_quantity(Label(classes), pixels_near(near, (9,)))
        assert labels.tolist() == [[first] * 9]
        assert (doubt > 0).all()


@pytest.mark.parametrize("n_channels", [1, 3, 6])
def test_ordinary_densities_are_never_doubtful(n_channels: int) -> None:
    """The program of a diagonal mixture over few channels has no plane of doubt."""
    program = program_of(Density(random_mixture(16, n_channels)))
    assert [step.target for step in program.steps][-1] == "out0 of 0"
    full = program_of(Density(random_mixture(16, n_channels, full=True)))
    assert (full.steps[-1].target == "doubt of 0") is (n_channels > 1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_densities_are_limited(dtype: str) -> None:
    """A density that is too high for the dtype is its largest finite number."""
    narrow = Mixture([1.0], np.zeros((1, 2)), np.full((1, 2), 1e-307))
    out = np.empty((1, 2), dtype)
    program_of(Density(narrow, normalized=False), out.dtype).run(
        np.array([[0.0, 1], [0, 1]]), [out], serial=True
    )
    assert out[0, 0] == pytest.approx(min(float(np.finfo(dtype).max), 1e307), rel=1e-12)
    assert out[0, 1] == 0


def test_shared_values_are_computed_once() -> None:
    """All quantities of two mixtures together evaluate no more kernels than their log-ratio does."""
    one, other = random_mixture(5, 3), random_mixture(40, 3, seed=1)
    classes = {"one": one, "other": other}
    ratio: list[tuple[Quantity, np.dtype[Any]]] = [(LogRatio(one, other), FLOAT64)]
    more: list[tuple[Quantity, np.dtype[Any]]] = [
        (Posterior(classes), FLOAT64),
        (Posterior(classes, only="other"), np.dtype("float32")),
        (Label(classes), np.dtype("uint8")),
        (LogDensity(other), FLOAT64),
        (Confidence(classes), FLOAT64),
        (Entropy(classes), FLOAT64),
    ]

    def steps_over_kernels(pairs: list[tuple[Quantity, np.dtype[Any]]]) -> int:
        steps = compile_program(tuple(pairs)).steps
        return sum("x0" in step.inputs or isinstance(step.expression, LogSum) for step in steps)

    def exponentials(pairs: list[tuple[Quantity, np.dtype[Any]]]) -> int:
        steps = compile_program(tuple(pairs)).steps
        return sum(step.expression == "exp(logarithm - peak)" for step in steps)

    assert exponentials(more) == exponentials(more[:1]) == 2

    assert steps_over_kernels([*more, *ratio]) == steps_over_kernels(ratio) == 2
    unequal = (Label(classes, {"one": 0.3, "other": 0.7}), np.dtype("uint8"))
    assert steps_over_kernels([*ratio, unequal]) == 4


def test_a_packed_quantity_has_no_program() -> None:
    """The encoding follows the program."""
    packed: Any = Packed(LogRatio(random_mixture(1, 3), random_mixture(1, 3)), "float16")
    with pytest.raises(TypeError, match="has no formula; wanted a quantity of one of the kinds Density, Log"):
        program_of(packed)
