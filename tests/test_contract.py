"""One contract for every way to a result: an independent reference's numbers, and the same bits everywhere.

A way is an engine and whatever hands it blocks: NumPy, Dask on each scheduler, xarray, runs to a store on
threads and on a cluster. Every way gets the same quantities over the same images of every dtype.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import xarray
from references import random_mixture, scipy_reference

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Packed,
    Posterior,
    evaluate,
    open_result,
    stream,
)
from pipeline.compute.colors import color_bits
from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

ONE, OTHER = random_mixture(4, 3), random_mixture(3, 3, full=True, seed=1)
CLASSES = {"one": ONE, "other": OTHER}
PRIORS = {"one": 0.2, "other": 0.8}
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(ONE),
    "plain-density": Density(ONE, normalized=False),
    "log-density": LogDensity(OTHER),
    "log-ratio": LogRatio(ONE, OTHER),
    "posterior": Posterior(CLASSES, PRIORS),
    "kernels": Posterior(ONE),
    "only": Posterior(CLASSES, PRIORS, only="other"),
    "label": Label(CLASSES, PRIORS),
    "confidence": Confidence(CLASSES, PRIORS),
    "entropy": Entropy(CLASSES, PRIORS),
    "half": Packed(LogRatio(ONE, OTHER), "float16"),
    "byte": Packed(Posterior(CLASSES, PRIORS, only="one"), "uint8"),
    "logarithmic": Packed(Density(ONE), "uint16", 1e-12, 1e-4, "log"),
}
DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "float16", "float32", "float64"]
SHAPE = (37, 41, 3)


@cache
def image(dtype: str) -> NDArray[Any]:
    """Give pixels that most of the kernels are near, and where there can be NaN, one of it."""
    pixels = np.random.default_rng(0).integers(0, 128, SHAPE).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[3, 4, 1] = np.nan
    return pixels


@cache
def reference(name: str, dtype: str) -> NDArray[np.float64]:
    """Give what SciPy's log-densities make of it, unpacked, with the classes last."""
    pixels = image(dtype).astype(np.float64)
    missing = np.isnan(pixels).any(axis=-1)
    pixels[missing] = 0
    quantity = QUANTITIES[name]
    base = quantity.quantity if isinstance(quantity, Packed) else quantity
    result = scipy_reference(pixels, base).astype(np.float64)
    result[missing] = np.nan
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", QUANTITIES)
def test_the_numbers_are_the_references(name: str, dtype: str) -> None:
    """float64 agrees with SciPy, float32 is that rounded, and what is packed is as near as it says."""
    wanted, quantity = reference(name, dtype), QUANTITIES[name]
    got = evaluate(image(dtype), quantity, engine="numexpr")
    assert got.shape == wanted.shape
    assert got.dtype == make_outputs(quantity)[0].dtype
    if isinstance(quantity, Packed):
        relative, absolute = {"half": (2**-11, 0), "byte": (0, 0.501 / 254), "logarithmic": (2e-4, 1e-12)}[
            name
        ]
        np.testing.assert_allclose(quantity.encoding.decode(got), wanted, rtol=relative, atol=absolute)
    elif isinstance(quantity, Label):
        np.testing.assert_array_equal(got, np.where(np.isnan(wanted), 255, wanted))
    else:
        exact = evaluate(image(dtype), quantity, dtype="float64", engine="numexpr")
        np.testing.assert_allclose(exact, wanted, rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(got, exact.astype(np.float32))


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("way", ["NumPy", "synchronous", "threads", "cluster", "xarray"])
def test_every_way_gives_the_same_bits(processes: Client, way: str, engine: str) -> None:
    """By any scheduler and engine, every quantity of every dtype has NumPy's and numexpr's bits."""

    def evaluated(pixels: NDArray[Any], quantity: Quantity) -> Any:
        if way == "NumPy":
            return evaluate(pixels, quantity, engine=engine)
        if way == "xarray":
            named = xarray.DataArray(pixels, dims=("y", "x", "band"))
            return evaluate(named, quantity, engine=engine).to_numpy()
        lazy = evaluate(da.from_array(pixels, chunks=(16, 20, 2)), quantity, engine=engine)
        scheduler: Any = processes if way == "cluster" else way
        return lazy.compute(scheduler=scheduler)

    for dtype in DTYPES:
        pixels = image(dtype)
        if engine == "table" and color_bits(pixels.dtype, 3) is None:
            continue
        for name, quantity in QUANTITIES.items():
            got, wanted = evaluated(pixels, quantity), evaluate(pixels, quantity, engine="numexpr")
            np.testing.assert_array_equal(got, wanted, err_msg=f"{name} of {dtype}")
            assert got.dtype == wanted.dtype


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_runs_store_the_same_bits(tmp_path: Path, processes: Client, where: str) -> None:
    """One pass to a store holds every quantity of every dtype, and open_result unpacks it."""
    for dtype in DTYPES:
        store = tmp_path / f"{dtype}.zarr"
        client = processes if where == "cluster" else None
        stream(image(dtype), QUANTITIES, store, block=16, client=client, progress="none")
        results = open_result(store)
        assert list(results) == list(QUANTITIES)
        for name, quantity in QUANTITIES.items():
            wanted = evaluate(image(dtype), quantity, engine="numexpr")
            if isinstance(quantity, Packed):
                wanted = quantity.encoding.decode(wanted)
            if wanted.ndim == 3:
                wanted = np.moveaxis(wanted, -1, 0)
            np.testing.assert_array_equal(results[name], wanted, err_msg=f"{name} of {dtype}")
            assert results[name].dtype == wanted.dtype
