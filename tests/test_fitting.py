"""Tests of fit_mixture: the same mixture by every way, each refusal, and degenerate images."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from sklearn.mixture import GaussianMixture

from pipeline import Density, Mixture, Progress, count_colors, evaluate, fit_mixture, open_result, stream
from pipeline.compute import counting as compute_counting
from pipeline.compute import histogram as histogram_module
from pipeline.images.grid import choose_grid
from pipeline.runs import counting

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

KINDS: list[Any] = ["diag", "full", "spherical", "tied"]


def fit(image: Any, n_kernels: Any, **options: Any) -> Mixture:
    """Fit without showing progress."""
    return fit_mixture(image, n_kernels, progress="none", **options)


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:170, 200:290]


def score(mixture: Mixture, pixels: NDArray[Any]) -> float:
    """Return the mean log-likelihood of pixels (n, C) by scikit-learn."""
    return float(mixture.to_sklearn().score(pixels.astype(float)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_is_that_of_the_pixels(image: NDArray[np.uint8], kind: Any) -> None:
    """Log-likelihood and criteria are scikit-learn's for the same mixture and all pixels."""
    mixture = fit(image, 3, covariance_type=kind)
    assert mixture.fit is not None
    pixels = image.reshape(-1, 3)
    assert mixture.fit.log_likelihood == pytest.approx(score(mixture, pixels), abs=1e-9)
    model = GaussianMixture(3, covariance_type=kind)
    model.weights_, model.means_ = mixture.weights, mixture.means
    if kind == "spherical":
        model.precisions_cholesky_ = 1 / np.sqrt(mixture.covariances[:, 0])
    elif kind == "tied":
        model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(mixture.covariances[0])).T
    else:
        model.precisions_cholesky_ = mixture.to_sklearn().precisions_cholesky_
    assert mixture.fit.bic == pytest.approx(model.bic(pixels.astype(float)), rel=1e-9)
    assert mixture.fit.aic == pytest.approx(model.aic(pixels.astype(float)), rel=1e-9)
    assert mixture.is_diagonal == (kind in {"diag", "spherical"})
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_way_gives_the_same_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: NDArray[np.uint8], processes: Client, dtype: str
) -> None:
    """The seed decides, and not blocks, executors, threads and kinds of images, even if a sample is taken."""
    for module in (histogram_module, compute_counting):
        monkeypatch.setattr(module, "SAMPLE", 3000)
    pixels = image.astype(dtype)
    wanted = fit(pixels, 4, seed=3)
    assert wanted.fit is not None
    assert wanted.fit.is_exact == (dtype == "uint8")
    tifffile.imwrite(tmp_path / "x.tif", pixels, tile=(32, 32), photometric="rgb")
    plain = zarr.create_array(tmp_path / "x.zarr", data=pixels, chunks=(30, 30, 3))
    for block in (16, (72, 92)):
        grid = choose_grid((70, 90), block=block)
        monkeypatch.setattr(counting, "choose_grids", lambda *_, grid=grid, **__: [grid])
        for kind in (
            pixels,
            da.from_array(pixels, chunks=25),
            plain,
            tmp_path / "x.tif",
            count_colors(pixels, seed=3, progress="none"),
        ):
            with dask.config.set(num_workers=3 if block == 16 else 1):
                assert fit(kind, 4, seed=3).means.tolist() == wanted.means.tolist()
    if dtype == "uint8":
        # Workers have the usual size of samples.
        assert fit(pixels, 4, seed=3, client=processes).means.tolist() == wanted.means.tolist()
    assert fit(pixels, 4, seed=4) != wanted


def test_names_and_memory(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """The mixture has the image's channels and path, and a file and a pickle keep them."""
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="rgb")
    mixture = fit(tmp_path / "x.tif", 2)
    assert mixture.channels == ("red", "green", "blue")
    assert mixture.fit is not None
    assert mixture.fit.image == str(tmp_path / "x.tif")
    mixture.save(tmp_path / "mixture.json")
    for other in (Mixture.load(tmp_path / "mixture.json"), pickle.loads(pickle.dumps(mixture))):  # noqa: S301  made here
        assert other == mixture
        assert other.fit == mixture.fit
    stream(tmp_path / "x.tif", Density(mixture), tmp_path / "out.zarr", progress="none")
    stored = np.asarray(open_result(tmp_path / "out.zarr")["density"])
    np.testing.assert_array_equal(stored, evaluate(image, Density(mixture)))
    written = b"".join(path.read_bytes() for path in (tmp_path / "out.zarr").rglob("*.json"))
    assert b"means" in written
    assert b"log_likelihood" not in written
    assert fit(image, 2).channels is None


def test_only_pixels_with_data_count(image: NDArray[np.uint8]) -> None:
    """A mask, a no-data value, NaN and infinity leave out pixels."""
    mask = np.random.default_rng(0).integers(0, 2, image.shape[:2]) != 0
    wanted = fit(image[mask][np.newaxis], 2)
    assert fit(image, 2, mask=mask) == wanted
    marked = np.where(mask[..., np.newaxis], image, 255).astype(np.uint8)
    assert (image[mask] != 255).any(axis=-1).all()
    assert fit(marked, 2, no_data=255) == wanted
    floats = np.where(mask[..., np.newaxis], image, np.nan)
    floats[~mask] = [1, np.inf, 1]
    mixture = fit(floats, 2, variance_floor=1 / 12)
    np.testing.assert_allclose(mixture.means, wanted.means, rtol=1e-6)


def test_channel_axis(image: NDArray[np.uint8]) -> None:
    """The channels are where the caller says."""
    assert fit(np.moveaxis(image, -1, 0), 2, channel_axis=0) == fit(image, 2)
    assert fit(image[..., 0], 2, channel_axis=None).n_channels == 1


def test_the_number_of_kernels_by_bic() -> None:
    """On clear data it is the true one."""
    random = np.random.default_rng(0)
    means = random.permutation(np.repeat([[30.0], [90.0], [150.0], [220.0]], 900, axis=0))
    image = random.normal(means, 4, (3600, 3)).reshape(60, 60, 3).clip(0, 255).astype(np.uint8)
    for n_kernels in ("bic", range(1, 7)):
        assert fit(image, n_kernels).n_kernels == 4


@pytest.mark.parametrize("kind", KINDS)
def test_one_color(kind: Any) -> None:
    """One color of integers has the variance of rounding; one of floats needs a variance."""
    mixture = fit(np.full((9, 11, 3), 7, np.uint8), 1, covariance_type=kind)
    variances = mixture.covariances[0] if mixture.is_diagonal else mixture.covariances[0].diagonal()
    np.testing.assert_allclose(variances, 1 / 12)
    np.testing.assert_array_equal(mixture.means, [[7, 7, 7]])
    gray = np.full((9, 11, 3), 0.1, np.float32)
    with pytest.raises(ValueError, match=r"all pixels have the same color.*Pass variance_floor"):
        fit(gray, 1, covariance_type=kind)
    mixture = fit(gray, 1, covariance_type=kind, variance_floor=0.01)
    variances = mixture.covariances[0] if mixture.is_diagonal else mixture.covariances[0].diagonal()
    np.testing.assert_allclose(variances, 0.01)
    np.testing.assert_array_equal(mixture.means, gray[:1, 0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fewer_colors_than_kernels(dtype: str) -> None:
    """The message counts the colors; as many kernels as colors are found."""
    image = (np.arange(600).reshape(20, 30, 1) % 3 * 100).astype(dtype)
    with pytest.raises(ValueError, match="got 4 kernels for 3 colors; wanted no more kernels than colors"):
        fit(image, 4)
    np.testing.assert_allclose(np.sort(fit(image, 3).means[:, 0]), [0, 100, 200], atol=1e-6)
    assert fit(image, "bic").n_kernels <= 3


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.zeros((4, 5, 3), np.uint8), {"mask": np.zeros((4, 5))}),
        (np.zeros((4, 5, 3), np.uint8), {"no_data": 0}),
        (np.full((4, 5, 3), np.nan), {}),
        (np.full((4, 5, 3), np.inf), {}),
    ],
    ids=["mask", "no data", "NaN", "infinity"],
)
def test_no_pixel_has_data(image: NDArray[Any], options: Any) -> None:
    """The message says what to check."""
    with pytest.raises(ValueError, match=r"no pixel of the image has data\. Check its mask"):
        fit(image, 1, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_constant_channel(kind: Any, dtype: str) -> None:
    """A channel that is constant has the least variance, and the others are found all the same."""
    random = np.random.default_rng(0)
    pixels = random.normal(100, 10, (40, 50, 3))
    pixels[..., 1] = 0.1 if dtype != "uint8" else 3
    pixels = pixels.astype(dtype)
    mixture = fit(pixels, 1, covariance_type=kind)
    assert mixture.fit is not None
    variances = mixture.covariances[0] if mixture.is_diagonal else mixture.covariances[0].diagonal()
    own = pixels.reshape(-1, 3).astype(float).var(axis=0)
    floor = 1 / 12 if dtype == "uint8" else 1e-6 * min(own[0], own[2])
    wanted = np.maximum(own, floor)
    np.testing.assert_allclose(variances, wanted.mean() if kind == "spherical" else wanted, rtol=1e-3)
    assert mixture.means[0, 1] == pixels[0, 0, 1]


def two_kernels(n_channels: int, low: float, high: float, deviation: float, dtype: str) -> NDArray[Any]:
    """Draw an image from two kernels."""
    random = np.random.default_rng(0)
    means = random.choice([low, high], (50, 60, 1))
    return random.normal(means, deviation, (50, 60, n_channels)).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n_channels", "low", "high", "deviation", "dtype"),
    [
        (3, 1e8, 1e8 + 1, 0.1, "float64"),
        (2, -1e15, -1e15 + 1e6, 1e5, "float64"),
        (3, 500, 60_000, 120, "uint16"),
        (1, 500, 60_000, 120, "uint16"),
        (3, 0.2, 0.7, 0.05, "float32"),
        (3, 0.2, 0.7, 0.05, "float16"),
        (8, 20, 60, 3, "uint8"),
        (8, 1e-9, 5e-9, 1e-10, "float64"),
        (2, -100, 100, 9, "int16"),
    ],
)
def test_pixels_of_all_sizes(
    kind: Any, n_channels: int, low: float, high: float, deviation: float, dtype: str
) -> None:
    """Two clear kernels are found, whatever dtype, offset, unit and number of channels are."""
    image = two_kernels(n_channels, low, high, deviation, dtype)
    mixture = fit(image, 2, covariance_type=kind)
    found = mixture.means[mixture.means[:, 0].argsort()]
    np.testing.assert_allclose(found - [[low], [high]], 0, atol=deviation / 2)
    variances = np.array([np.diag(one) if mixture.is_diagonal else one for one in mixture.covariances])
    variances = np.diagonal(variances, axis1=1, axis2=2)
    np.testing.assert_allclose(variances, deviation**2 + (dtype[0] in "ui") / 12, rtol=0.25)


def test_pixels_that_are_too_large() -> None:
    """Squares that overflow are refused with the largest number."""
    image = np.random.default_rng(0).normal(size=(9, 9, 3)) * 1e200
    with pytest.raises(ValueError, match=r"the pixels hold \d.*e\+200, whose square is too large"):
        fit(image, 2)


def test_a_start_is_improved(image: NDArray[np.uint8]) -> None:
    """From an earlier mixture, few steps remain; without steps it is the mixture that is returned."""
    first = fit(image, 3)
    again = fit(image, 3, start=first)
    assert first.fit is not None
    assert again.fit is not None
    assert again.fit.n_iterations <= 2
    assert again.fit.log_likelihood >= first.fit.log_likelihood - 1e-12
    same = fit(image, 3, start=first, max_iterations=0)
    np.testing.assert_allclose(same.means, first.means, rtol=1e-12)
    with pytest.raises(ValueError, match="start has 3 channels, the image has 1"):
        fit(image[..., :1], 3, start=first)


def test_the_listener_hears_of_both_passes(image: NDArray[np.uint8]) -> None:
    """Counting and fitting report to the same function."""
    events: list[Progress] = []
    fit_mixture(image, 2, progress=events.append)
    assert (events[0].blocks, events[0].stage) == (1, "")
    assert events[1].stage.startswith("fitting 2 kernels: step 0")
    assert (events[-1].blocks, events[-1].total_blocks, events[-1].stage) == (1, 1, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_kernels": 0}, "n_kernels is 0"),
        ({"n_kernels": "two"}, "n_kernels is 'two'"),
        ({"covariance_type": "round"}, "covariance_type is 'round'"),
        ({"tolerance": -1}, "tolerance is -1"),
        ({"n_starts": 0}, "n_starts is 0"),
        ({"max_iterations": -1}, "max_iterations is -1"),
        ({"variance_floor": 0}, "variance_floor is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"progress": "loud"}, "progress is 'loud'"),
        ({"start": Mixture([1.0], [[1.0]], [[1.0]])}, "n_kernels is 2, but start has 1 kernels"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    """They are refused before a pixel is read."""

    def fail(block: Any) -> Any:
        raise AssertionError(block)

    image = da.zeros((50, 40, 3), dtype=np.uint8, chunks=20).map_blocks(
        fail, meta=np.empty((0, 0, 0), np.uint8)
    )
    arguments = {"n_kernels": 2, "progress": "none", **options}
    with pytest.raises(ValueError, match=message):
        fit_mixture(image, **arguments)


def test_no_client(image: NDArray[np.uint8]) -> None:
    """The client is that of the pass."""
    with pytest.raises(TypeError, match=r"client is 3; wanted a distributed\.Client"):
        fit(image, 1, client=3)


@pytest.mark.parametrize("options", [{"mask": np.ones((4, 5))}, {"no_data": 0}])
def test_a_histogram_has_no_mask(options: Any) -> None:
    """What would have to be known while counting is refused afterwards."""
    histogram = count_colors(np.zeros((4, 5, 3), np.uint8), progress="none")
    with pytest.raises(ValueError, match=r"got a histogram with a mask or a no-data value.*count_colors"):
        fit(histogram, 1, **options)
