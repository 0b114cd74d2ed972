"""The demonstration, on a smaller mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline import LogRatio, Mixture, demo, evaluate, load_model, open_image, open_result

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray


def test_demo(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mosaic holds the photo, the result its log-ratios; a second run replaces both."""
    monkeypatch.setattr(demo, "_TILES", 4)
    monkeypatch.setattr(demo, "_SHAPE", (2048, 2048))
    for _ in range(2):
        lines = list(demo.run_demo(tmp_path / "demo"))
    assert "4.2 megapixels" in lines[2]
    np.testing.assert_array_equal(open_image(tmp_path / "demo" / "mosaic.tif")[:512, :512], photo)
    ratio = np.asarray(open_result(tmp_path / "demo" / "skin.zarr")["log-ratio"])
    wanted = evaluate(photo, LogRatio(skin, load_model("jones-rehg-nonskin")))
    np.testing.assert_array_equal(ratio[:512, :512], wanted)
    assert f"{(ratio > 0).mean():.1%} of the pixels" in lines[3]
    assert f"remove {tmp_path / 'demo'}" in lines[5]
    size = sum(path.stat().st_size for path in (tmp_path / "demo").rglob("*") if path.is_file())
    assert f"take {size / 1e6:.0f} MB" in lines[5]
    preview: Any = cv2.imread(str(tmp_path / "demo" / "preview.png"))
    assert preview.shape == (512, 3 * 512, 3)
    np.testing.assert_array_equal(preview[:, 512:1024, ::-1], photo)
    shown = preview[:, 1024:, ::-1].astype(int)
    assert (shown[wanted > 0.1][:, 0] > shown[wanted > 0.1][:, 2]).all()
    assert (shown[wanted < -0.1][:, 0] < shown[wanted < -0.1][:, 2]).all()


def test_the_photo_ships() -> None:
    """The photo comes with the package, and no extra is needed for it."""
    photo = demo.load_photo()
    assert photo.shape == (512, 512, 3)
    assert photo.dtype == np.uint8
    # The upper left corner of NASA's portrait, as scikit-image ships it.
    assert photo[0, 0].tolist() == [154, 147, 151]


def test_sample_data_of_napari(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The sample data are the photo and its log-ratio, with colors that are symmetric around 0."""
    (image, shown, _), (values, options, kind) = demo.demo_layers()
    np.testing.assert_array_equal(image, photo)
    assert shown == {"name": "photo", "rgb": True}
    np.testing.assert_array_equal(values, evaluate(photo, LogRatio(skin, load_model("jones-rehg-nonskin"))))
    low, high = options["contrast_limits"]
    assert low == -high
    assert (kind, options["multiscale"]) == ("image", False)
