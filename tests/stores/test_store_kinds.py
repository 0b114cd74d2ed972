"""An address becomes a store in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import obstore.store
import pytest
import zarr

from pipeline.stores import store_kinds
from pipeline.stores.local import LocalStore
from pipeline.stores.objects import ObjectStore
from pipeline.stores.store_kinds import open_store


@pytest.mark.parametrize(
    "address", ["out.zarr", "./a b/out", "c:/out.zarr", "/data/x:y/out.zarr", "odd:name"]
)
@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_a_path_is_a_local_store(address: str, kind: Any) -> None:
    """A path of any type is a directory, which need not exist; a drive's letter is no URL."""
    store = open_store(kind(address))
    assert isinstance(store, LocalStore)
    assert Path(store.address) == store.directory == Path(address)


@pytest.mark.parametrize("address", ["s3://b/o.zarr", "gs://b/deep/o.zarr", "az://b/o", "S3://b/o.zarr/"])
def test_a_url_of_objects_is_their_store(address: str) -> None:
    """A URL of cloud storage is a store there, and is told from a path."""
    store = open_store(address)
    assert isinstance(store, ObjectStore)
    assert store.address == address
    message = (
        r"^the store is .*, a URL that has lost a slash, as in a Path; wanted text like (s3|S3|gs|az)://"
    )
    with pytest.raises(ValueError, match=message):
        open_store(Path(address))


@pytest.mark.parametrize("address", ["https://host/out.zarr", "file:///data/o.zarr"])
def test_other_urls_are_refused_as_they_were_given(address: str) -> None:
    """The message has the URL with both slashes, and no secrets."""
    with pytest.raises(
        ValueError, match=f"^{address}: results aren't written to such a URL; wanted .* s3://"
    ):
        open_store(address)
    with pytest.raises(ValueError, match="such a URL"):
        open_store(Path(address))
    with pytest.raises(ValueError, match=f"^{address}: results"):
        open_store(address.replace("//", "//anna:hush@") + "?token=hush")


def test_stores_of_zarr_are_refused_with_their_url(bucket: str) -> None:
    """A store of Zarr is no output; the message says what to pass."""
    store = zarr.storage.ObjectStore(obstore.store.from_url(f"{bucket}/out.zarr"))
    with pytest.raises(TypeError, match=rf"wanted the path of a directory, or the URL: {bucket}/out\.zarr"):
        open_store(store)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"wanted the path of a directory$"):
        open_store(zarr.storage.FsspecStore.from_url("memory://out.zarr"))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [None, 5, ["out.zarr"]])
def test_other_things_are_refused(other: Any) -> None:
    """Something that isn't a path is refused by what it is."""
    with pytest.raises(TypeError, match=r"the store is .*; wanted the path of a directory"):
        open_store(other)


def test_an_empty_path_is_refused() -> None:
    """An empty path, which would be the working directory, is refused."""
    with pytest.raises(ValueError, match="the store has an empty path; wanted the path of a directory"):
        open_store("")


def test_a_store_stays_as_it_is(tmp_path: Path) -> None:
    """A store that was opened already, of any kind, is passed on."""
    store = LocalStore(tmp_path)
    assert open_store(store) is store


def test_a_kind_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of store that is listed under the scheme of its URLs gets their addresses."""
    monkeypatch.setitem(store_kinds.STORE_KINDS, "s3", LocalStore)
    assert open_store("S3://bucket/out.zarr").address == "S3://bucket/out.zarr"
