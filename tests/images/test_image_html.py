"""Images as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import tifffile

from pipeline import open_image
from pipeline.images.geometry import Geometry
from pipeline.images.image import Image
from pipeline.images.image_html import image_html

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray


class Texts(HTMLParser):
    """Collects the texts, and counts the elements."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Count an element."""
        del attrs
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        """Collect a text."""
        self.texts.append(data)


def test_images_have_a_thumbnail_and_facts(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """The picture and the facts are shown, and names are text and not elements."""
    path = tmp_path / "<b>.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(path, photo, photometric="rgb", tile=(128, 128), metadata=metadata)
    shown = Texts(open_image(path)._repr_html_())
    assert shown.elements.count("img") == 1
    facts = dict(zip(shown.texts[::2], shown.texts[1::2], strict=True))
    assert facts == {
        "shape": "512 x 512 x 3",
        "channels": "3: red, green, blue",
        "dtype": "uint8",
        "pixel size": "0.25 x 0.5 µm",
        "tiles": "128 x 128",
        "file": str(path),
    }
    assert "b" not in shown.elements


def test_facts_of_pyramids_and_maps(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels and the reference system are among the facts, the latter cut if it is long."""
    image = open_image(photo, mask=photo[..., 0])
    base = image.source
    monkeypatch.setattr(base, "levels", ((512, 512), (256, 256)), raising=False)
    monkeypatch.setattr(base, "geometry", Geometry(crs='PROJCS["<i>' + "x" * 99), raising=False)
    texts = Texts(image_html(Image.of(base, image.masking))).texts
    assert "512 x 512, 256 x 256" in texts
    assert any(text.startswith('PROJCS["<i>x') and len(text) == 61 for text in texts)
    assert "masked" in texts


def test_what_cannot_be_read_soon_has_facts_only(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A lazy array, a damaged file and a cut that is no plane are shown without a picture."""
    assert "<img" not in open_image(da.zeros((64, 64, 3), np.uint8))._repr_html_()
    assert "<img" not in open_image(photo)[3]._repr_html_()
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, photo, photometric="rgb", compression="zlib")
    image = open_image(path)
    path.unlink()
    assert "512 x 512 x 3" in image._repr_html_()
    assert "<img" not in image._repr_html_()
