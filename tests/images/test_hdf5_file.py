"""Files of the format HDF5: where the numbers of datasets lie, damage, filters, and the package itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, write_hdf5

from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")


def write_virtual(path: Path) -> None:
    """Write a virtual dataset of two files in a folder beside it, and of one in the file itself."""
    (path.parent / "sub").mkdir()
    write_hdf5(path.parent / "sub" / "a.h5", "raw", PIXELS[:50], chunks=(20, 30, 3))
    write_hdf5(path.parent / "sub" / "b.h5", "raw", PIXELS[50:80])
    write_hdf5(path, "own", PIXELS[80:])
    layout = h5py.VirtualLayout(shape=PIXELS.shape, dtype="u2")
    layout[:50] = h5py.VirtualSource("sub/a.h5", "raw", shape=(50, WIDTH, 3))
    layout[50:80] = h5py.VirtualSource("sub/b.h5", "raw", shape=(30, WIDTH, 3))
    layout[80:] = h5py.VirtualSource(".", "own", shape=(HEIGHT - 80, WIDTH, 3))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("virtual", layout)


def test_virtual_datasets(tmp_path: Path) -> None:
    """The numbers come from several files; without one of them, they would be the fill value."""
    write_virtual(tmp_path / "x.h5")
    image = open_image(f"{tmp_path / 'x.h5'}::/virtual")
    np.testing.assert_array_equal(image, PIXELS)
    assert image.tile == (20, 30)
    assert [path.name for path in image.source.paths] == ["x.h5", "a.h5", "b.h5"]
    identity = image.source.identity()
    (tmp_path / "sub" / "b.h5").touch()
    with pytest.raises(ValueError, match=r"b.h5 changed since .*x.h5::/virtual was opened. Open it again"):
        image.compute()
    assert open_image(f"{tmp_path / 'x.h5'}::/virtual").source.identity() != identity
    with h5py.File(tmp_path / "sub" / "b.h5", "a") as file:
        del file["raw"]
    with pytest.raises(ValueError, match=r"b.h5 has no dataset raw"):
        open_image(f"{tmp_path / 'x.h5'}::/virtual")
    (tmp_path / "sub" / "b.h5").unlink()
    with pytest.raises(ValueError, match=r"/virtual in .*x.h5 has numbers in .*sub/b.h5, which is not there"):
        open_image(f"{tmp_path / 'x.h5'}::/virtual")


def test_numbers_of_other_files_are_refused(tmp_path: Path) -> None:
    """Links and external storage are named with what they need."""
    write_hdf5(tmp_path / "other.h5", "raw", PIXELS)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/raw")
        file.create_dataset("outside", shape=(4, 5), dtype="u1", external=str(tmp_path / "raw.bin"))
    with pytest.raises(ValueError, match=r"/link in .*x.h5 is a link; wanted its target: .*other.h5::/raw"):
        open_image(f"{tmp_path / 'x.h5'}::/link")
    with pytest.raises(ValueError, match=r"/outside in .* has its numbers in other files, .*raw.bin"):
        open_image(f"{tmp_path / 'x.h5'}::/outside")


def test_a_filter_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the filter, and the way to it, before a chunk is read."""
    write_hdf5(tmp_path / "x.h5", "raw", PIXELS, chunks=(20, 30, 3), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != h5py.h5z.FILTER_LZF)
    with pytest.raises(ValueError, match=r"/raw in .*x.h5 is compressed by the filter 32000 \(lzf\), which"):
        open_image(tmp_path / "x.h5")


def test_damaged_files(tmp_path: Path) -> None:
    """A truncated file is refused when it is opened, and a damaged chunk when it is read."""
    path = tmp_path / "x.h5"
    dataset_options = {"chunks": (50, 50, 3), "compression": "gzip", "fletcher32": True}
    write_hdf5(path, "raw", PIXELS, **dataset_options)
    with h5py.File(path) as file:
        place = file["raw"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + 100] ^= 255
    path.write_bytes(content)
    image = open_image(path)
    with pytest.raises(ValueError, match=r"x.h5::/raw can't be read as HDF5: .*Copy or download it again"):
        image[:10, :10].compute()
    np.testing.assert_array_equal(image[60:], PIXELS[60:])
    with h5py.File(path) as file:
        place = h5py.h5o.get_info(file["raw"].id).addr
    damaged = content.copy()
    damaged[place] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"x.h5 can't be read as HDF5: .*Copy or download it"):
        open_image(path)
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"x.h5 can't be read as HDF5: .*truncated.*Copy or download it"):
        open_image(path)


def test_the_package_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without h5py, the error names the extra."""
    write_hdf5(tmp_path / "x.h5", "raw", PIXELS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'mixture-pipeline\[hdf5\]'"):
        open_image(tmp_path / "x.h5")


def test_many_datasets(tmp_path: Path) -> None:
    """Of many datasets some are listed, and a part stays small."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(60):
            file[f"a{number:02}"] = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"/a49, shape \(4, 5\), uint8; and 10 more$"):
        open_image(tmp_path / "x.h5")
    image = open_image(tmp_path / "x.h5", series=59)
    assert image.source.place() == {"image": f"{tmp_path / 'x.h5'}::/a59"}
    assert len(image.series) == 50
