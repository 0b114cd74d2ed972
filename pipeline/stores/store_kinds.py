"""The kinds of stores, and the one place that makes a store from its address."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pipeline.stores.local import LocalStore
from pipeline.stores.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

# The kind of store for each scheme of a URL, such as "s3". A plain path has no scheme.
STORE_KINDS: dict[str, Callable[[str], Store]] = {"": LocalStore}
# A Path turns "s3://bucket" into "s3:/bucket". A single letter is a drive of Windows.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)


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
        raise TypeError(f"the store is {store!r:.80}; wanted the path of a directory") from None
    if not address:
        raise ValueError("the store has an empty path; wanted the path of a directory, for example out.zarr")
    url = _URL.match(address)
    scheme = url.group(1).lower() if url else ""
    if scheme not in STORE_KINDS:
        raise ValueError(
            f"{address}: a store is a local or mounted directory; got a URL. Pass the path of a directory."
        )
    return STORE_KINDS[scheme](address)
