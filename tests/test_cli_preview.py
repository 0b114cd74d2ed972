"""The command that draws results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import Density, Label, stream
from pipeline.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from pipeline import Mixture


def command(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["preview", *arguments])


@pytest.fixture
def store(folder: Path, skin: Mixture) -> Path:
    """Give the results of a photo."""
    stream(
        "photo.png", {"density": Density(skin), "kinds": Label({"skin": skin})}, "out.zarr", progress="none"
    )
    return folder


def test_results_are_drawn(store: Path) -> None:
    """All results or some, over the image, in the format of the ending, and none is replaced unasked."""
    done = command("out.zarr", "out.png", "--size", "200", "--overlay")
    assert (done.exit_code, done.stdout) == (0, "picture: out.png\n"), done.stderr
    whole = cv2.imread("out.png")
    assert whole is not None
    assert len(np.unique(whole)) > 100
    assert command("out.zarr", "one.svg", "--result", "kinds").exit_code == 0
    assert (store / "one.svg").read_bytes().startswith(b"<?xml")
    refused = command("out.zarr", "out.png")
    assert refused.exit_code == 2
    assert (
        "out.png exists. Choose another name, or overwrite it (overwrite=True, --overwrite)" in refused.stderr
    )
    assert command("out.zarr", "out.png", "--overwrite", "--size", "100").exit_code == 0
    assert cv2.imread("out.png").size < whole.size
    assert not list(store.glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.zarr", "out"], "out doesn't end with a format; wanted one of"),
        (["out.zarr", "out.xyz"], "out.xyz doesn't end with a format; wanted one of ."),
        (["out.zarr", "none/out.png"], "none/out.png can't be written; wanted a directory none that may"),
        (["out.zarr", "s3://b/out.png"], "s3://b/out.png is a URL, and only runs write there"),
        (["out.zarr", "out.png", "--result", "x"], "out.zarr has no result 'x'; it has density, kinds"),
        (["none.zarr", "out.png"], "none.zarr doesn't exist"),
    ],
)
@pytest.mark.usefixtures("store")
def test_errors_take_one_line(arguments: list[str], message: str) -> None:
    """What the user can mend is said in a line, with status 2, and no file is left."""
    done = command(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
