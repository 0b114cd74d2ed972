"""Tests of what engines with an arithmetic of their own share; their contract is in test_engine.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import evaluate_array, output_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references import random_mixture

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Packed, Posterior
from pipeline.compute.arithmetic import EXPRESSIONS, Arithmetic
from pipeline.compute.arithmetic_engine import ArithmeticEngine
from pipeline.compute.engines import ENGINES
from pipeline.compute.numba_engine import NumbaEngine
from pipeline.compute.numpy_engine import NumpyEngine
from pipeline.compute.planes import program_bytes
from pipeline.testing.engines import assert_neighbors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.output import Output

OWN = (NumpyEngine(), NumbaEngine())
PIXELS = st.one_of(
    hnp.arrays(np.float64, (6, 3), elements=st.floats(-1e100, 1e100)),
    hnp.arrays(np.float32, (6, 3), elements=st.floats(width=32, allow_nan=False)),
    hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 255, width=32)),
    hnp.arrays(np.uint16, (6, 3)),
    hnp.arrays(np.uint8, (6, 3)),
)


class Reference(ArithmeticEngine):
    """An engine with the arithmetic of the reference."""

    name = "again"
    refusal = seconds = process_bytes = prepare = lambda *_: None

    def arithmetic_of(self, output: Output) -> Arithmetic:
        """Return the arithmetic of the reference."""
        del output
        return EXPRESSIONS


def test_the_results_are_those_of_the_arithmetic() -> None:
    """With the arithmetic of the reference, an engine has its bits, in one thread and in several."""
    mixture = random_mixture(3, 2)
    outputs = [output_of(Density(mixture), "float64"), output_of(Packed(LogDensity(mixture), "float16"))]
    pixels = np.random.default_rng(0).uniform(0, 255, (300, 700, 2))
    for serial in (True, False):
        both = []
        for engine in (Reference(), ENGINES["numexpr"]):
            results = [np.empty((1, 300, 700), output.dtype) for output in outputs]
            errors = engine.evaluate(pixels, outputs, results, serial=serial)
            both.append((results, errors))
        assert both[0][1] == both[1][1]
        for one, other in zip(both[0][0], both[1][0], strict=True):
            np.testing.assert_array_equal(one, other)
    assert Reference().thread_bytes(outputs, np.dtype("uint8")) == program_bytes(outputs)


@pytest.mark.parametrize("engine", OWN, ids=[engine.name for engine in OWN])
def test_only_float64_is_not_close(engine: ArithmeticEngine) -> None:
    """Results in float64 may differ from the reference by more than their last place."""
    mixture = random_mixture(2, 3)
    assert not engine.is_reference
    assert engine.is_close(output_of(Density(mixture), "float32"))
    assert engine.is_close(output_of(Packed(LogDensity(mixture), "float16")))
    assert not engine.is_close(output_of(Density(mixture), "float64"))


@pytest.mark.parametrize("engine", OWN, ids=[engine.name for engine in OWN])
@settings(max_examples=60)
@given(PIXELS, st.booleans(), st.sampled_from([1, 4, 40]))
def test_any_pixel_is_next_to_the_reference(
    engine: ArithmeticEngine, pixels: NDArray[Any], full: bool, n_kernels: int
) -> None:
    """Whatever the pixels are, float32 results are those of the reference or next to them."""
    one, other = (random_mixture(n_kernels, 3, full=full, seed=seed) for seed in (0, 1))
    classes = {"one": one, "other": other}
    for quantity in (
        *(Density(one), LogDensity(one), LogRatio(one, other), Posterior(classes), Posterior(one)),
        *(Label(classes), Label(one), Confidence(classes), Entropy(classes), Entropy(one)),
    ):
        found = evaluate_array(pixels, quantity, engine=engine.name)
        assert_neighbors(found, evaluate_array(pixels, quantity, engine="numexpr"))
