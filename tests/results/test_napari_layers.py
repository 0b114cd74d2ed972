"""Layers of napari: whose directories are opened, and what is shown of a result."""

from __future__ import annotations

import math
import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import zarr
from references import random_mixture

import pipeline
from pipeline import Density, Posterior, open_image, open_result, stream
from pipeline.models.output import make_outputs
from pipeline.results.napari_layers import get_reader, read_layers, value_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

# npe2 and napari are written for older releases of other packages.
of_others = pytest.mark.filterwarnings("ignore")
MANIFEST = Path(pipeline.__file__).parent / "napari.yaml"


def refuse(*_: object, **__: object) -> None:
    """Stand in for a scheduler where nothing may be computed."""
    raise AssertionError("computed")


@pytest.fixture
def manager() -> Any:
    """Give a manager of plugins that knows the manifest, as napari has one."""
    from npe2 import PluginManager, PluginManifest  # noqa: PLC0415  its import warns

    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    manager.activate("mixture-pipeline")
    return manager


@pytest.fixture(scope="module")
def layers(results: Path) -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Give the layers of a result by their names, made without reading a pixel of it."""
    with dask.config.set(scheduler=refuse):
        return {layer[1]["name"]: layer for layer in read_layers(str(results))}


@of_others
def test_napari_finds_the_manifest(manager: Any) -> None:
    """The manifest is valid, its entry point leads to it, and its functions are there."""
    (entry,) = (one for one in entry_points(group="napari.manifest") if one.name == "mixture-pipeline")
    assert entry.value == "pipeline:napari.yaml"
    manager.get_manifest("mixture-pipeline").validate_imports()


@of_others
def test_npe2_reads_a_result_by_its_content(results: Path, tmp_path: Path, manager: Any) -> None:
    """A directory of any name that is a result is opened, and no other one."""

    def reader_of(path: Path) -> Any:
        (reader,) = manager.iter_compatible_readers([str(path)])
        return reader.exec(kwargs={"path": [str(path)], "stack": False, "_registry": manager.commands})

    shutil.copytree(results, tmp_path / "any name")
    assert len(reader_of(tmp_path / "any name")([str(tmp_path / "any name")], stack=False)) == 7
    zarr.create_array(tmp_path / "array.zarr", shape=(2, 2), dtype="u1")
    zarr.create_group(tmp_path / "group.zarr")
    for other in ("array.zarr", "group.zarr", "nothing.zarr"):
        assert reader_of(tmp_path / other) is None
    assert get_reader([str(results), str(results)]) is None


@of_others
def test_npe2_makes_sample_data(manager: Any) -> None:
    """The sample is found, and is made without a file."""
    ((name, (sample,)),) = manager.iter_sample_data()
    assert (name, sample.key) == ("mixture-pipeline", "skin")
    assert [layer[1]["name"] for layer in sample.open(_registry=manager.commands)] == ["photo", "log-ratio"]


def test_a_damaged_record_is_reported(results: Path, tmp_path: Path) -> None:
    """A result whose record is damaged isn't left to other plugins, which would show less of it."""
    shutil.copytree(results, tmp_path / "out.zarr")
    zarr.open_group(tmp_path / "out.zarr", mode="r+").attrs["mixture_pipeline"] = {"version": 1}
    reader = get_reader(str(tmp_path / "out.zarr"))
    assert reader is not None
    with pytest.raises(ValueError, match=r"out\.zarr"):
        reader(str(tmp_path / "out.zarr"))


def test_layers_have_names_types_and_places(layers: dict[str, Any]) -> None:
    """The image is below the results, in their order; the first result is visible; all are in micrometers."""
    kinds = {name: kind for name, (_, _, kind) in layers.items()}
    assert kinds == {
        "slide.ome.tif": "image",
        "ratio": "image",
        "chances tumor & edge": "image",
        "chances b": "image",
        "log10 packed": "image",
        "log10 half": "image",
        "label": "labels",
    }
    shown = [name for name, (_, options, _) in layers.items() if options.get("visible", True)]
    assert shown == ["slide.ome.tif", "ratio"]
    for _, options, _ in layers.values():
        assert options["multiscale"]
        assert options["scale"] == (0.5, 0.5)
        assert options["translate"] == (0.0, 0.0)
        assert options["units"] == ("micrometer", "micrometer")


def test_levels_are_those_of_the_store(results: Path, layers: dict[str, Any]) -> None:
    """Each level holds the values of the store; densities are logarithms, halves are float32."""
    first = open_result(results)
    for number in range(len(first.levels)):
        level = first.at(number)
        for name in ("ratio", "label"):
            data = layers[name][0][number]
            assert data.dtype == level[name].dtype
            np.testing.assert_array_equal(data, level[name])
        for place, name in enumerate(["chances tumor & edge", "chances b"]):
            np.testing.assert_array_equal(layers[name][0][number], level["chances"][place])
        for name in ("packed", "half"):
            data = np.asarray(layers[f"log10 {name}"][0][number])
            assert data.dtype == np.float32
            with np.errstate(divide="ignore"):
                np.testing.assert_array_equal(data, np.log10(level[name].compute().astype(np.float32)))
    assert [data.shape for data in layers["ratio"][0]] == list(first.levels)


def test_the_image_is_shown_as_it_is(layers: dict[str, Any], results: Path) -> None:
    """Level 0 of the image is the image, in colors."""
    data, options, _ = layers["slide.ome.tif"]
    assert options["rgb"]
    np.testing.assert_array_equal(data[0], open_image(results.parent / "slide.ome.tif").compute())


def test_contrast_is_that_of_the_values(layers: dict[str, Any], results: Path) -> None:
    """Limits are quantiles; those of log-ratios are symmetric, those of densities logarithms."""
    summary = open_result(results).summary
    assert summary is not None
    low, high = (summary.distributions["ratio"].quantile(share) for share in (0.01, 0.99))
    assert layers["ratio"][1]["contrast_limits"] == [-max(-low, high), max(-low, high)]
    assert layers["chances b"][1]["contrast_limits"] == [0, 1]
    low, high = (summary.distributions["packed"].quantile(share) for share in (0.01, 0.99))
    assert layers["log10 packed"][1]["contrast_limits"][1] == pytest.approx(math.log10(high))
    assert layers["log10 packed"][1]["contrast_limits"][0] == pytest.approx(math.log10(max(low, high / 1e12)))


def test_colors_are_those_of_classes(layers: dict[str, Any]) -> None:
    """A class has its color in labels, where 0 is a class too, and in posteriors, which are added up."""
    options = layers["label"][1]
    assert options["colormap"] == {0: "#E69F00", 1: "#56B4E9", None: "transparent"}
    assert options["features"] == {"index": [0, 1, 255], "class": ["tumor & edge", "b", "no data"]}
    for name, color in {"chances tumor & edge": (230, 159, 0), "chances b": (86, 180, 233)}.items():
        options = layers[name][1]
        assert options["blending"] == "additive"
        black, full = (np.multiply(one, 255) for one in options["colormap"]["colors"])
        np.testing.assert_allclose(black, [0, 0, 0, 255])
        np.testing.assert_allclose(full, [*color, 255])
    middle = layers["ratio"][1]["colormap"]["colors"][127]
    np.testing.assert_allclose(middle[:3], [0.97] * 3, atol=0.01)
    assert layers["log10 packed"][1]["colormap"] == "viridis"


def test_what_is_unknown_is_left_out(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Nothing is said of the size of pixels, and no image is shown, of an array in memory."""
    quantity = Posterior({"a": random_mixture(1, 3), "b": random_mixture(2, 3, seed=1)}, only="b")
    stream(photo[:70, :50], {"b": quantity}, tmp_path / "out.zarr", progress="none")
    ((_, options, _),) = read_layers(str(tmp_path / "out.zarr"))
    assert options.keys() == {"name", "multiscale", "contrast_limits", "colormap", "blending"}
    assert options["colormap"] == "viridis"


def test_without_a_summary_values_are_asked() -> None:
    """Results of older versions have no summary, so that limits come from the coarsest level."""
    (output,) = make_outputs(Density(random_mixture(1, 3)))
    levels: Any = [np.full((8, 8), -90.0), np.linspace(-7, -3, 101).reshape(1, -1)]
    _, options, _ = value_layer("density", output, levels, None)
    np.testing.assert_allclose(options["contrast_limits"], [-6.96, -3.04])


@of_others
def test_napari_shows_a_result(results: Path) -> None:
    """The model of napari's viewer, which needs no window, takes the layers, and names classes."""
    napari = pytest.importorskip("napari")
    viewer = napari.components.ViewerModel()
    for data, options, kind in read_layers(str(results)):
        getattr(viewer, f"add_{kind}")(data, **options)
    label = viewer.layers["label"]
    alphas = label.colormap.map(np.array([0, 1, 255], np.uint8))[:, 3]
    assert alphas.tolist() == [1, 1, 0]
    label.visible = True
    assert "class: " in label.get_status((60.0, 60.0), world=True)["value"]
