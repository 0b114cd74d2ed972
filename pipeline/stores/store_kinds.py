"""The kinds of stores, and the one place that makes a store from its address."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pipeline.images.object_storage import SCHEMES, is_object_url
from pipeline.images.remote import url_of_zarr, without_secrets
from pipeline.stores.local import LocalStore
from pipeline.stores.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable


def _open_objects(address: str) -> Store:
    """Return the store in object storage, whose library is loaded only then."""
    from pipeline.stores.objects import ObjectStore  # noqa: PLC0415  an extra

    return ObjectStore(address)


# The kind of store for each scheme of a URL, such as "s3". A plain path has no scheme.
STORE_KINDS: dict[str, Callable[[str], Store]] = {"": LocalStore, **dict.fromkeys(SCHEMES, _open_objects)}
# A Path turns "s3://bucket" into "s3:/bucket". A single letter is a drive of Windows.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)", re.IGNORECASE)


def open_store(store: str | os.PathLike[str] | Store) -> Store:
    """Return the store of an address, whether there is anything yet or not.

    Parameters
    ----------
    store : path or Store
        A Store is returned as it is.

    Raises
    ------
    TypeError
        If this isn't a path.
    ValueError
        If the path is empty, or there is no kind of store for such a URL.
    """
    if isinstance(store, Store):
        return store
    try:
        address = os.fsdecode(store)
    except TypeError:
        place = url_of_zarr(store)
        # The text of a store of Zarr may hold the options of its file system.
        shown = f"{store!r:.80}" if place is None else f"of {type(store)}"
        url = f", or the URL: {place}" if is_object_url(place) else ""
        raise TypeError(f"the store is {shown}; wanted the path of a directory{url}") from None
    if not address:
        raise ValueError("the store has an empty path; wanted the path of a directory, for example out.zarr")
    found = _URL.match(address)
    scheme = found.group(1).lower() if found else ""
    if scheme not in STORE_KINDS:
        raise ValueError(
            f"{without_secrets(address)}: results aren't written to such a URL; wanted the path of a "
            "directory, or a URL like s3://bucket/folder/out.zarr (or gs://, az://)"
        )
    if found and not found.group(2):
        raise ValueError(
            f"the store is {address}, a URL that has lost a slash, as in a Path; wanted text like "
            f"{scheme}://bucket/folder/out.zarr"
        )
    return STORE_KINDS[scheme](address)
