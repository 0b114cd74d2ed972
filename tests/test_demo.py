"""The demonstration, on a smaller mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from pipeline import Mixture, compute_densities, demo, open_image, open_result

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_demo(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mosaic holds the photo, the result its densities; a second run replaces both."""
    monkeypatch.setattr(demo, "_TILES", 4)
    monkeypatch.setattr(demo, "_SHAPE", (2048, 2048))
    for _ in range(2):
        lines = list(demo.run_demo(tmp_path / "demo"))
    assert "4.2 megapixels" in lines[2]
    np.testing.assert_array_equal(open_image(tmp_path / "demo" / "mosaic.tif")[:512, :512], photo)
    density = np.asarray(open_result(tmp_path / "demo" / "skin.zarr")["density"])
    np.testing.assert_array_equal(density[:512, :512], compute_densities(photo, skin))
    assert f"{(density > 256.0**-3).mean():.1%} of the pixels" in lines[3]
    preview: Any = cv2.imread(str(tmp_path / "demo" / "preview.png"))
    assert preview.shape == (512, 3 * 512, 3)
    np.testing.assert_array_equal(preview[:, 512:1024, ::-1], photo)


def test_without_scikit_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the photo's package the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[demo\]'"):
        list(demo.run_demo(tmp_path))
