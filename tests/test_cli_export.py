"""The command that exports results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile
from click.testing import CliRunner
from references import random_mixture

from pipeline import LogDensity, cli, open_result, stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_a_result_is_exported(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """The file is written and named, replaced only if asked, and a mistake is told in one line."""
    stream(photo[:60, :70], LogDensity(random_mixture(2, 3)), tmp_path / "out.zarr", progress="none")
    words = ["export", str(tmp_path / "out.zarr"), str(tmp_path / "out.tif")]
    done = CliRunner().invoke(cli.main, words)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out.tif'} is written\n")
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out.tif"), open_result(tmp_path / "out.zarr")["log-density"]
    )
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert CliRunner().invoke(cli.main, [*words, "--overwrite", "--result", "log-density"]).exit_code == 0
    assert CliRunner().invoke(cli.main, [*words, "--overwrite", "--format", "geojson"]).exit_code == 2
