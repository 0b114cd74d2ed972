"""Targets: nothing that a run didn't write is overwritten, and nothing that a run reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stores.numbered import fill, names, run_of, write

from pipeline.stores.target import check_target
from pipeline.testing.filling import FRESH, REPLACING, RESUMED

if TYPE_CHECKING:
    from pathlib import Path


def test_targets_that_are_refused(tmp_path: Path) -> None:
    """Nothing foreign is overwritten, never what is read, nor anything inside it."""
    result, foreign = tmp_path / "out.zarr", tmp_path / "photos"
    fill(result, 1)
    foreign.mkdir()
    for options in (REPLACING, RESUMED):
        check_target(result, sources=[tmp_path / "photo.png", foreign], **options)
    with pytest.raises(FileExistsError, match=r"out.zarr exists. Choose another output, mend it"):
        check_target(result, sources=[], **FRESH)
    for place in (foreign, tmp_path):
        with pytest.raises(
            FileExistsError, match="isn't a result of mixture-pipeline, so it isn't overwritten"
        ):
            check_target(place, sources=[], **REPLACING)
    (tmp_path / "photo.png").touch()
    with pytest.raises(FileExistsError, match="isn't a result of mixture-pipeline"):
        check_target(tmp_path / "photo.png", sources=[], **REPLACING)
    for inner in (result / "inner.zarr", result / "0" / "image" / "c"):
        with pytest.raises(ValueError, match="lies inside the Zarr store"):
            check_target(inner, sources=[], **REPLACING)


@pytest.mark.parametrize("name", ["out.tif", "out.ome.tiff", "out.PNG", "folder/out.jpg"])
@pytest.mark.parametrize("options", [FRESH, REPLACING, RESUMED], ids=["fresh", "overwrite", "resume"])
def test_a_store_gets_no_name_of_an_image(tmp_path: Path, name: str, options: dict[str, bool]) -> None:
    """Before a directory with the name of an image file is made, another name is proposed."""
    message = r"has the name of an image file.* for example .*out(\.ome)?\.zarr"
    with pytest.raises(ValueError, match=message):
        check_target(tmp_path / name, sources=[], **options)
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, 1, options)
    assert not (tmp_path / name).exists()
    assert names((tmp_path / name).parent) == []


def test_a_store_with_the_name_of_an_image_is_mended(tmp_path: Path) -> None:
    """A store that has such a name already is resumed and replaced as any other is."""
    path = tmp_path / "out.tif"
    fill(tmp_path / "out.tif.partial", 1, finished=False)
    write(path, 1, RESUMED)
    write(path, 2, RESUMED)
    assert run_of(path) == 1
    write(path, 3, REPLACING)
    assert run_of(path) == 3


@pytest.mark.parametrize(
    "source",
    [
        "out.zarr",
        "out.zarr/0/image",
        ".",
        "link",
        "out.zarr.partial",
        "out.zarr.partial/density",
        "out.zarr.replaced",
    ],
)
def test_what_is_read_is_no_output(tmp_path: Path, source: str) -> None:
    """An output that is, holds or lies in the image is refused by any name, as is what a run removes."""
    (tmp_path / "link").symlink_to(tmp_path / "out.zarr")
    with pytest.raises(ValueError, match=r"output .*out.zarr and image .* lie inside one another"):
        check_target(tmp_path / "out.zarr", sources=[tmp_path / source], **REPLACING)
