"""The readers, by what a file holds and by the type of an array."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from images.examples import Plain, noise

from pipeline.images import readers
from pipeline.images.choice import Choice
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pipeline.images.source import Source

PIXELS = noise(40, 50, 3)


def test_a_reader_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in the list opens the files that it knows, and leaves the others."""

    def read(path: str, choice: Choice) -> Source | None:
        content = Path(path).read_bytes()
        level = choice.level + len(content)
        return Plain(np.full((2, 3, 3), level)) if content.startswith(b"plain") else None

    monkeypatch.setattr(readers, "FILE_READERS", (read, *readers.FILE_READERS))
    (tmp_path / "x.txt").write_bytes(b"plain")
    np.testing.assert_array_equal(open_image(tmp_path / "x.txt"), np.full((2, 3, 3), 5))
    np.testing.assert_array_equal(open_image(tmp_path / "x.txt", level=2), np.full((2, 3, 3), 7))
    cv2.imwrite(os.fspath(tmp_path / "x.png"), PIXELS)
    assert open_image(tmp_path / "x.png").shape == PIXELS.shape


def test_a_source_is_its_own_source() -> None:
    """A source of a third party is taken as it is."""
    source = Plain(PIXELS)
    assert open_source(source) is source


def test_nothing_can_be_chosen_of_an_array() -> None:
    """A level, a series and a plane are those of a file."""
    with pytest.raises(ValueError, match="level is 1, but the image is open already, or an array, which has"):
        open_source(PIXELS, choice=Choice(level=1))
