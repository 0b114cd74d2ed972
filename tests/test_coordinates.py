"""Results keep coordinates; the channels of an array of xarray are found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import xarray
import zarr
from images.examples import noise

from pipeline.coordinates import read_data, stated_no_data
from pipeline.evaluation import evaluate
from pipeline.images.no_data import NoData
from pipeline.models.class_quantities import Posterior
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density

if TYPE_CHECKING:
    from pathlib import Path

MIXTURE = Mixture([0.5, 0.5], [[120, 90, 160], [20, 30, 40]], [[400, 300, 500]] * 2)
PIXELS = noise(20, 30, 3)
SCENE = xarray.DataArray(
    np.moveaxis(PIXELS, -1, 0), dims=("band", "y", "x"), coords={"x": np.arange(30.0), "spatial_ref": 0}
)


def test_channels_are_found_by_name() -> None:
    """Bands come first without a word of the caller's, also beside further dimensions."""
    wanted = evaluate(PIXELS, Density(MIXTURE))
    result = evaluate(SCENE, Density(MIXTURE))
    assert result.dims == ("y", "x")
    assert set(result.coords) == {"x", "spatial_ref"}
    np.testing.assert_array_equal(result, wanted)
    times = xarray.concat([SCENE, SCENE], "time")
    assert evaluate(times, Density(MIXTURE)).dims == ("time", "y", "x")
    gray = evaluate(SCENE[0], Density(Mixture([1.0], [[120]], [[400]])))
    assert gray.dims == ("y", "x")
    with pytest.raises(ValueError, match="channel_axis is 2, the dimension 'x', but the channels are"):
        evaluate(SCENE, Density(MIXTURE), channel_axis=2)
    with pytest.raises(ValueError, match=r"image is an xarray.Dataset of .*to_array\('band'\)"):
        evaluate(SCENE.to_dataset("band"), Density(MIXTURE))


def test_a_stated_value_counts() -> None:
    """Pixels with the value that the attributes state have no data, unless the caller says otherwise."""
    scene = SCENE.assign_attrs(_FillValue=PIXELS[3, 4, 0])
    scene[:, 3, 4] = PIXELS[3, 4, 0]
    result = evaluate(scene, Density(MIXTURE))
    assert np.argwhere(np.isnan(result.values)).tolist() == [[3, 4]]
    assert not np.isnan(evaluate(scene, Density(MIXTURE), no_data=None)).any()
    assert (
        np.isnan(evaluate(scene, Density(MIXTURE), no_data="any")).sum()
        == (scene == PIXELS[3, 4, 0]).any("band").sum()
    )
    assert stated_no_data(scene, 5) == 5
    assert stated_no_data(SCENE, "auto") == "auto"
    assert stated_no_data(scene, "all") == NoData(float(PIXELS[3, 4, 0]))


def test_an_array_in_a_file_stays_there(tmp_path: Path) -> None:
    """An array that isn't loaded gives a lazy result."""
    group = zarr.create_group(tmp_path / "x.zarr")
    group.create_array("image", data=SCENE.to_numpy(), dimension_names=["band", "y", "x"])
    stored = xarray.open_dataset(tmp_path / "x.zarr", engine="zarr", chunks=None, consolidated=False)["image"]
    assert isinstance(read_data(stored), da.Array)
    result = evaluate(stored, Posterior({"a": MIXTURE, "b": MIXTURE}))
    assert result.chunks is not None
    assert result.dims == ("class", "y", "x")
    np.testing.assert_array_equal(result, evaluate(SCENE, Posterior({"a": MIXTURE, "b": MIXTURE})))
    assert stored.chunks is None
