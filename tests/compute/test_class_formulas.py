"""Tests of the formulas of classes; their accuracy at hard points is tested with the planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import MP, random_mixture, scipy_reference

from pipeline import Confidence, Entropy, Label, Mixture, Posterior
from pipeline.compute.double import Double
from pipeline.compute.formulas import formula_of
from pipeline.compute.program import Program, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

# One channel, and classes whose logarithms are known: -x**2 / 2 and so on.
UNIT = Mixture([1.0], [[0.0]], [[1.0]])


def run(quantity: Quantity, pixels: NDArray[Any]) -> tuple[NDArray[Any], Any]:
    """Return the results and the doubt of pixels (n, C) by the steps of the formula."""
    out = np.empty((quantity.n_results, len(pixels)))
    dtype = quantity.output_dtype() if isinstance(quantity, Label) else out.dtype
    program = join([Program(tuple(formula_of(quantity).steps(dtype)))])
    (doubt,) = program.run(np.ascontiguousarray(pixels.T, np.float64), [out], serial=True)
    return out, doubt


def unit_classes(n_classes: int) -> dict[str, Mixture]:
    """Return classes with means at 0, 1, 2 and so on."""
    return {str(number): Mixture([1.0], [[float(number)]], [[1.0]]) for number in range(n_classes)}


@pytest.mark.parametrize("n_classes", [2, 3, 15, 16, 17, 32, 33, 60, 120])
def test_any_number_of_classes(n_classes: int) -> None:
    """Confidences and entropies equal SciPy, however classes are grouped, and whichever order they have."""
    random = np.random.default_rng(n_classes)
    pixels = random.uniform(-1, n_classes, (50, 1))
    classes = unit_classes(n_classes)
    shuffled = {name: classes[name] for name in random.permutation(list(classes)).tolist()}
    priors = random.uniform(0.1, 1, n_classes)
    for one in (classes, shuffled):
        for quantity in (Confidence(one, priors), Entropy(one, priors)):
            got, _ = run(quantity, pixels)
            np.testing.assert_allclose(got[0], scipy_reference(pixels, quantity), rtol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 5, 16, 20, 40])
def test_equal_classes(n_classes: int) -> None:
    """Equal classes have the confidence 0 and the highest entropy, and only the confidence is doubtful."""
    same = dict.fromkeys(map(str, range(n_classes)), UNIT)
    pixels = np.array([[0.0], [3.0], [-5.0]])
    values, doubt = run(Confidence(same), pixels)
    assert values.tolist() == [[0, 0, 0]]
    assert not np.signbit(values).any()
    assert (doubt > 0).all()
    values, doubt = run(Entropy(same), pixels)
    np.testing.assert_allclose(values, np.log(n_classes), rtol=1e-15)
    assert values.max() <= np.log(n_classes)
    assert not (doubt > 0).any()


@pytest.mark.parametrize("n_ties", [2, 3, 18])
def test_ties_of_the_highest_classes(n_ties: int) -> None:
    """Several highest classes count each, also beside lower ones in the same group or another."""
    classes = {"far": Mixture([1.0], [[4.0]], [[1.0]]), **dict.fromkeys(map(str, range(n_ties)), UNIT)}
    pixels = np.array([[0.0], [-1.0], [-40.0]])
    quantity = Entropy(classes)
    np.testing.assert_allclose(run(quantity, pixels)[0][0], scipy_reference(pixels, quantity), rtol=1e-13)


def test_a_certain_class() -> None:
    """Where one class is certain the confidence is 1, and the entropy keeps its digits down to 1e-300."""
    classes = unit_classes(2)
    pixels = np.array([[-2.0], [-30.0], [-300.0], [-680.0], [-1e6]])
    confidence, doubt = run(Confidence(classes), pixels)
    assert confidence[0, 2:].tolist() == [1, 1, 1]
    entropy, _ = run(Entropy(classes), pixels)
    for x, got in zip(pixels[:4, 0].tolist(), entropy[0].tolist(), strict=False):
        r = MP.exp(MP.mpf(x) - MP.mpf(1) / 2)
        wanted = MP.log1p(r) - r * MP.log(r) / (1 + r)
        assert abs(got / wanted - 1) < 1e-11
    assert entropy[0, 4] == 0
    assert doubt is not None


@given(st.lists(st.floats(-700, 0), min_size=2, max_size=20), st.integers(0, 2**32))
def test_finished_results_are_exact(logs: list[float], seed: int) -> None:
    """From exact logarithms the finish has errors of a few units in the last place."""
    n_classes = len(logs)
    lows = np.array(logs) * np.random.default_rng(seed).uniform(-1, 1, n_classes) * 1e-17
    numbers = [MP.mpf(hi) + MP.mpf(lo) for hi, lo in zip(logs, lows.tolist(), strict=True)]
    pair = Double(np.array(logs)[:, np.newaxis], lows[:, np.newaxis])
    with MP.workdps(340):
        total = MP.fsum(map(MP.exp, numbers))
        shares = sorted(MP.exp(number) / total for number in numbers)
        confidence = float(shares[-1] - shares[-2])
        entropy = float(-MP.fsum(share * MP.log(share) for share in shares))
    classes = unit_classes(n_classes)
    for quantity, wanted in ((Confidence(classes), confidence), (Entropy(classes), entropy)):
        ((got,),) = formula_of(quantity).finish(pair, np.dtype("float64")).tolist()
        # The double-double difference of two logarithms is exact to 1e-28 of these.
        assert got == pytest.approx(wanted, rel=2e-15, abs=1e-25 if wanted == confidence else 0)


def test_equal_priors_are_left_out_of_the_program_only() -> None:
    """Equal priors don't change a program, so that it has values in common with other quantities."""
    classes = unit_classes(3)
    for kind in (Posterior, Label, Confidence, Entropy):
        default, scaled = (formula_of(kind(classes, priors)) for priors in (None, [7, 7, 7]))
        dtype = default.quantity.output_dtype()
        assert default.steps(dtype) == scaled.steps(dtype)
        assert default.groups() != scaled.groups()


def test_one_of_many_kernels_is_compared_with_the_sum_of_the_others() -> None:
    """The posterior of one kernel of a thousand needs two logarithms, not a thousand."""
    mixture = random_mixture(1000, 2)
    steps = formula_of(Posterior(mixture, only="3")).steps(np.dtype("float32"))
    assert sum(step.expression == "exp(logarithm - peak)" for step in steps) == 2
