"""What each address of the page has."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from pipeline.results.color_maps import color_table
from pipeline.results.page_content import PageContent
from pipeline.results.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# openseadragon.min.js of openseadragon 6.1.1 from the npm registry.
OPENSEADRAGON = "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"


@pytest.fixture(scope="module")
def content(scene: Path) -> PageContent:
    """Give the page of a result."""
    return PageContent(open_result(scene / "out.zarr"))


def pixels_of(content: PageContent, path: str, query: str = "") -> NDArray[np.uint8]:
    """Return the red, green, blue and alpha of a PNG."""
    kind, body = content.get(path, query)
    assert kind == "image/png"
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def test_the_files_of_the_page(content: PageContent) -> None:
    """All files of the page are there, the viewer as it was published; none names another host."""
    page = content.get("", "").body.decode()
    for name in ("page.css", "page.js", "openseadragon.min.js"):
        assert f'"{name}"' in page
    own = [page, *(content.get(name, "").body.decode() for name in ("page.css", "page.js", "panes.js"))]
    assert not [text for text in own if "http:" in text or "https:" in text]
    assert hashlib.sha256(content.get("openseadragon.min.js", "").body).hexdigest() == OPENSEADRAGON
    assert content.title == "out.zarr"


def test_tiles_have_the_colors_of_values(content: PageContent, scene: Path) -> None:
    """A tile is the color map of the stored values, by the range that is asked for or the automatic one."""
    values = np.asarray(open_result(scene / "out.zarr")["ratio"])[512:900, 1024:]
    steps = np.floor(np.clip((values.astype(float) + 3) / 7, 0, 1) * 255 + 0.5)
    found = pixels_of(content, "tiles/2/0/2_1.png", "low=-3&high=4&map=viridis")
    np.testing.assert_array_equal(found, color_table("viridis")[steps.astype(int)])
    faded = pixels_of(content, "tiles/2/0/2_1.png", "low=-3&high=4&map=viridis&fade=1")
    np.testing.assert_array_equal(faded[..., 3], steps)
    assert pixels_of(content, "tiles/2/0/0_0.png")[:100, :200].sum() == 0
    assert pixels_of(content, "tiles/image/0/2_1.png").shape == (388, 326, 3)
    assert pixels_of(content, "maps/magma.png").shape == (1, 256, 4)


def test_classes_can_be_hidden(content: PageContent, scene: Path) -> None:
    """A hidden class is transparent, as pixels without data are."""
    label = np.asarray(open_result(scene / "out.zarr")["kind"])[:512, :512]
    assert (pixels_of(content, "tiles/0/0/0_0.png")[..., 3] == np.where(label == 255, 0, 255)).all()
    alone = pixels_of(content, "tiles/0/0/0_0.png", "hide=0")
    assert (alone[..., 3] == np.where(label == 1, 255, 0)).all()
    assert (alone[label == 1, :3] == (86, 180, 233)).all()


def test_values_are_those_that_are_stored(content: PageContent, scene: Path) -> None:
    """A pixel has the value of each plane, exactly, and the samples of the image."""
    result = open_result(scene / "out.zarr")
    found = json.loads(content.get("value.json", "x=700&y=500").body)
    chances = np.asarray(result["chance"])[:, 500, 700].tolist()
    wanted = [np.asarray(result[name])[500, 700].item() for name in ("kind", "density", "ratio")]
    assert found["values"] == [*wanted, *chances]
    assert len(found["image"]) == 3
    assert json.loads(content.get("value.json", "x=0&y=0").body)["values"] == [None] * 5


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("tiles/5/0/0_0.png", ""),
        ("tiles/0/99/0_0.png", ""),
        ("tiles/0/0/3_0.png", ""),
        ("tiles/0/0/999999999999_0.png", ""),
        ("tiles/image/0/0_2.png", ""),
        ("tiles/image/9/0_0.png", ""),
        ("tiles/-1/0/0_0.png", ""),
        ("tiles/0/0/0_0.png/", ""),
        ("tiles/0/0/\u0660_0.png", ""),
        ("value.json", "x=1350&y=0"),
        ("value.json", ""),
        ("maps/jet.png", ""),
        ("../viewer.py", ""),
        ("page/index.html", ""),
        ("openseadragon.LICENSE.txt", ""),
        ("/etc/passwd", ""),
        ("store/zarr.json", ""),
    ],
)
def test_nothing_else_is_there(content: PageContent, path: str, query: str) -> None:
    """Tiles, pixels, maps and files that don't exist are missing, and so is the rest of the disk."""
    with pytest.raises(LookupError):
        content.get(path, query)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("tiles/2/0/0_0.png", "low=1&high=0"),
        ("tiles/2/0/0_0.png", "low=nan"),
        ("tiles/2/0/0_0.png", "high=1e999"),
        ("tiles/2/0/0_0.png", "low=one"),
        ("tiles/2/0/0_0.png", "low=1&low=2"),
        ("tiles/2/0/0_0.png", "map=jet"),
        ("tiles/2/0/0_0.png", "map"),
        ("tiles/2/0/0_0.png", "hide=1"),
        ("tiles/1/0/0_0.png", "low=0&high=1"),
        ("tiles/0/0/0_0.png", "hide=a"),
        ("tiles/0/0/0_0.png", "&".join(f"hide={n}" for n in range(20))),
        ("value.json", "x=1e3&y=0"),
        ("value.json", "x=1&y=0&z=3"),
    ],
)
def test_queries_that_are_none(content: PageContent, path: str, query: str) -> None:
    """A range, a map or a place that can't be is refused."""
    with pytest.raises(ValueError, match=r"."):
        content.get(path, query)


def test_a_result_without_its_image(scene: Path, tmp_path: Path) -> None:
    """The page says why there is no image; its tiles are missing, and pixels have no samples."""
    shutil.copytree(scene / "out.zarr", tmp_path / "out.zarr")
    result = open_result(tmp_path / "out.zarr")
    result.image.place["image"] = str(tmp_path / "gone.tif")
    page = PageContent(result)
    facts = json.loads(page.get("info.json", "").body)
    assert facts["image"] is None
    assert "gone.tif" in facts["missing"]
    with pytest.raises(LookupError, match="there is no image"):
        page.get("tiles/image/0/0_0.png", "")
    assert json.loads(page.get("value.json", "x=0&y=0").body)["image"] is None
