"""The README: every Python and shell example runs, in order, as written."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from click.testing import CliRunner

from pipeline import compute_densities, load_model, open_result
from pipeline.cli import main

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from object_server import ObjectServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SETUPS = [code.strip() for kind, code in BLOCKS if kind == "bash" and "venv" in code]


def feature(name: str, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    """Return a rectangle of a class, as QuPath exports it."""
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "properties": {"classification": {"name": name}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


@pytest.mark.usefixtures("bucket")
def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8], object_server: ObjectServer
) -> None:
    """Each example does what it says on a real photo and a tiled TIFF, and none is left out."""
    monkeypatch.chdir(tmp_path)
    object_server.make_bucket("my-bucket")
    cv2.imwrite("photo.jpg", photo[..., ::-1])
    slide = np.tile(photo, (3, 3, 1))
    options: dict[str, Any] = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb"}
    with tifffile.TiffWriter("slide.tif") as file:
        file.write(slide, subifds=1, **options)
        file.write(slide[::2, ::2], subfiletype=1, **options)
    georeference = {"crs": "EPSG:32633", "transform": (10, 0, 500_000, 0, -10, 5_000_000), "nodata": 0}
    size = {"width": 512, "height": 512, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open("scene.tif", "w", driver="GTiff", **size, **georeference) as raster:
        raster.write(np.moveaxis(photo, -1, 0))
    for name in ("left.tif", "right.tif"):
        tifffile.imwrite(name, photo, **options)
    outlines = {"tumor": (0, 300, 1536, 700), "stroma": (0, 900, 1536, 1500)}
    Path("annotations.geojson").write_text(json.dumps([feature(n, *box) for n, box in outlines.items()]))
    names: dict[str, Any] = {}
    ran = 0
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "README.md", "exec"), names)  # noqa: S102  our own README
            ran += 1
        elif "venv" not in code:
            for line in code.strip().splitlines():
                words = shlex.split(line)
                assert words[0] == "mixture-pipeline"
                result = CliRunner().invoke(main, words[1:])
                assert result.exit_code == 0, result.output
                ran += 1
    assert ran == sum(kind == "python" for kind, _ in BLOCKS) + 19
    assert names["density"].shape == (512, 512)
    wanted = compute_densities(slide, load_model("jones-rehg-skin"))
    for store in ("skin.zarr", "cluster.zarr", "s3://my-bucket/results/skin.zarr"):
        np.testing.assert_array_equal(open_result(store)["density"], wanted)
    np.testing.assert_array_equal(open_result("out.zarr")["density"], wanted)


def test_setups_are_two_commands() -> None:
    """One line sets up and runs the demonstration, one sets up and tests; CI runs the latter as written."""
    assert len(SETUPS) == 2
    assert SETUPS[0].endswith("mixture-pipeline demo")
    assert SETUPS[1].endswith("pytest")
    assert all("\n" not in line for line in SETUPS)


def test_links_lead_somewhere() -> None:
    """Each relative link of the README is a file."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).is_file(), target


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")
def test_ci_finds_the_readmes_command() -> None:
    """The pattern by which .ci/run finds the test command matches that one line."""
    pattern = re.search(r"grep -E '([^']+)'", (ROOT / ".ci" / "run").read_text())
    assert pattern
    assert re.findall(pattern[1], README, re.MULTILINE) == [SETUPS[1]]
