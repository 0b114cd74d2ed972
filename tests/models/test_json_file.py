"""Tests of JSON files: one step or none in writing, and one line for each fault in reading.

The files of mixtures and of classes are tested beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.models.json_file import CLASSES, MIXTURE, Schema, load_json, save_json

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """An object comes back, and any other JSON gives an empty one."""
    path = tmp_path / "one.json"
    for content in ({"a": [0.1, 1e-300], "b": None, "ü": "é"}, {}):
        save_json(path, content)
        assert load_json(path, dict) == content
    path.write_text("[1, 2]")
    assert load_json(path, dict) == {}


def test_a_number_that_json_lacks_is_refused(tmp_path: Path) -> None:
    """NaN is neither written nor read, and nothing is left of the attempt."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json(tmp_path / "one.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "one.json").write_text('{"a": -Infinity}')
    with pytest.raises(ValueError, match=r"one.json: -Infinity is not a finite number"):
        load_json(tmp_path / "one.json", dict)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """There is no file to load."""
    with pytest.raises(FileNotFoundError, match=r"none.json"):
        load_json(tmp_path / "none.json", dict)


@pytest.mark.parametrize(("one", "other"), [(MIXTURE, CLASSES), (CLASSES, MIXTURE)])
def test_content_is_told_apart(one: Schema, other: Schema) -> None:
    """Content of the other kind, of another version, or without a key is refused by name."""
    whole = {**one.header(), **dict.fromkeys(one.keys)}
    one.check(whole)
    with pytest.raises(ValueError, match=f"got the JSON of {other.noun}; .* Use {other.load}"):
        one.check(other.header())
    with pytest.raises(ValueError, match=f'not {one.noun}: wanted .*"{one.format}"'):
        one.check({})
    with pytest.raises(ValueError, match=f"got schema version '2' of {one.noun}"):
        one.check({**whole, "version": "2"})
    del whole[one.keys[1]]
    with pytest.raises(ValueError, match=f"lacks {one.keys[1]}; wanted {one.keys[0]}, "):
        one.check(whole)
