"""The contract of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.compute.engines import ENGINES
from pipeline.models.class_quantities import Confidence, Entropy, Label, Posterior
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density, LogDensity, LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.compute.engine import Engine
    from pipeline.models.output import Output

DTYPES = (
    *("bool", "uint8", "int8", "uint16", ">u2", "int16", "int32", "int64", "float16", "float32", "float64"),
)


def make_mixture(n_kernels: int, n_channels: int, *, full: bool = False, seed: int = 0) -> Mixture:
    """Make a mixture over 0 to 255."""
    random = np.random.default_rng(seed)
    means = random.uniform(0, 255, (n_kernels, n_channels))
    covariances = random.uniform(25, 2000, (n_kernels, n_channels))
    if full:
        factors = random.normal(size=(n_kernels, n_channels, n_channels)) * 15
        covariances = factors @ factors.transpose(0, 2, 1) + 50 * np.eye(n_channels)
    return Mixture(random.uniform(0.1, 1, n_kernels), means, covariances)


def every_output(n_channels: int) -> tuple[Output, ...]:
    """Make an output of each kind of quantity and of each encoding."""
    one, other = make_mixture(3, n_channels), make_mixture(2, n_channels, full=True, seed=1)
    classes = {"one": one, "other": other}
    return make_outputs(
        {
            "density": Density(one),
            "log-density": LogDensity(other),
            "log-ratio": LogRatio(one, other),
            "posterior": Posterior(classes),
            "kernels": Posterior(one),
            "only": Posterior(classes, only="other"),
            "label": Label(classes),
            "confidence": Confidence(classes),
            "entropy": Entropy(classes),
            "half": Packed(LogDensity(one), "float16"),
            "byte": Packed(Confidence(one), "uint8"),
            "two-bytes": Packed(Entropy(one), "uint16") if one.n_kernels > 1 else Entropy(one),
            "logarithmic": Packed(Density(one), "uint8", 1e-20, 1.0, "log"),
        }
    )


def evaluated(
    engine: Engine, pixels: NDArray[Any], outputs: list[Output], *, serial: bool = True
) -> tuple[list[NDArray[Any]], list[float]]:
    """Return the results of an engine, and the largest errors."""
    results = [np.empty((output.n_results, *pixels.shape[:-1]), output.dtype) for output in outputs]
    return results, engine.evaluate(pixels, outputs, results, serial=serial)


def assert_neighbors(one: NDArray[Any], other: NDArray[Any]) -> None:
    """Check that the numbers of two arrays are the same or next to each other in their dtype."""
    if one.dtype.kind == "f":
        np.testing.assert_array_max_ulp(one, other, 1)
    else:
        np.testing.assert_allclose(one.astype(int), other.astype(int), rtol=0, atol=1)


class EngineContract(ABC):
    """The tests that every engine must pass.

    A subclass, whose name begins with ``Test``, overrides the fixture `engine`.
    """

    @pytest.fixture
    @abstractmethod
    def engine(self, *_: Any) -> Engine:
        """Give the engine."""

    def accepted(self, engine: Engine, n_channels: int, dtype: str) -> list[Output]:
        """Return the outputs that the engine computes from pixels of a dtype."""
        return [one for one in every_output(n_channels) if engine.refusal(one, np.dtype(dtype)) is None]

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("n_channels", [1, 3])
    def test_results_are_those_of_the_reference(self, engine: Engine, dtype: str, n_channels: int) -> None:
        """A reference engine has the bits of numexpr, another one is as close as it says, or within 1e-12."""
        outputs = self.accepted(engine, n_channels, dtype)
        if not outputs:
            pytest.skip(f"{engine.name} takes no {n_channels} channels of {dtype}")
        pixels = np.random.default_rng(0).integers(0, 120, (33, 50, n_channels)).astype(dtype)
        if pixels.dtype.kind == "f":
            pixels[3, 4, 0] = np.nan
        for view in (pixels, pixels[::-2, ::3, ::-1]):
            got, errors = evaluated(engine, view, outputs)
            wanted, wanted_errors = evaluated(ENGINES["numexpr"], view, outputs)
            for output, one, other in zip(outputs, got, wanted, strict=True):
                if engine.is_reference:
                    np.testing.assert_array_equal(one.view("u1"), other.view("u1"))
                elif engine.is_close(output):
                    assert_neighbors(one, other)
                else:
                    np.testing.assert_allclose(one, other, rtol=2e-12)
            np.testing.assert_allclose(errors, wanted_errors, rtol=2.0**-20 if engine.is_reference else 0.01)

    def test_errors_are_those_of_lossy_encodings(self, engine: Engine) -> None:
        """Each lossy encoding has an error above 0, and no other output has one."""
        outputs = self.accepted(engine, 1, "uint8")
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
        _, errors = evaluated(engine, pixels, outputs)
        assert [error > 0 for error in errors] == [output.encoding.is_lossy for output in outputs]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (40, 37), (300, 2)])
    def test_a_pixel_has_the_same_results_in_any_block(self, engine: Engine, shape: tuple[int, int]) -> None:
        """The results of a part of a block are the part of the results."""
        pixels = np.random.default_rng(1).integers(0, 256, (*shape, 2), dtype=np.uint8)
        part = (slice(shape[0] // 3, None), slice(shape[1] // 2, None))
        outputs = self.accepted(engine, 2, "uint8")
        whole, _ = evaluated(engine, pixels, outputs)
        for result, one in zip(whole, evaluated(engine, pixels[part], outputs)[0], strict=True):
            np.testing.assert_array_equal(result[:, *part], one)

    def test_the_number_of_threads_changes_nothing(self, engine: Engine) -> None:
        """Results are the same in the calling thread alone and with several threads."""
        outputs = self.accepted(engine, 2, "uint8")
        pixels = np.random.default_rng(2).integers(0, 256, (90, 100, 2), dtype=np.uint8)
        serial, _ = evaluated(engine, pixels, outputs)
        for one, other in zip(serial, evaluated(engine, pixels, outputs, serial=False)[0], strict=True):
            np.testing.assert_array_equal(one, other)

    def test_estimates_grow_with_the_pixels(self, engine: Engine) -> None:
        """More pixels take longer, and the memory isn't negative."""
        dtype = np.dtype("uint8")
        outputs = self.accepted(engine, 2, "uint8")
        for output in outputs:
            assert 0 < engine.seconds(output, dtype, 100) < engine.seconds(output, dtype, 10**9)
        assert engine.process_bytes(outputs, dtype) >= 0
        assert engine.thread_bytes(outputs, dtype) >= 0
        engine.prepare()

    def test_a_refusal_is_a_clause(self, engine: Engine) -> None:
        """A refusal can follow "but" in a message."""
        for dtype in map(np.dtype, DTYPES):
            for output in every_output(3):
                reason = engine.refusal(output, dtype)
                assert reason is None or (reason[0].islower() or reason[0].isdigit())
                assert reason is None or not reason.endswith(".")
