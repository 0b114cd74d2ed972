"""Fixtures that several test modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numexpr
import pytest
from distributed import Client, LocalCluster
from forked import Server
from skimage import data

from pipeline import Mixture, load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def skin() -> Mixture:
    """Give the published skin mixture."""
    return load_model("jones-rehg-skin")


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """Give a real photo of a person, red, green, blue."""
    image: NDArray[np.uint8] = data.astronaut()
    image.flags.writeable = False
    return image


@pytest.fixture(params=[1, 2])
def numexpr_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run with numexpr's thread count at 1 and above."""
    before = numexpr.set_num_threads(request.param)
    yield request.param
    numexpr.set_num_threads(before)


@pytest.fixture(scope="session")
def processes() -> Iterator[Client]:
    """Run a cluster of two worker processes, for whoever passes it as the client."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give the command, each call of which is a process of its own."""
    with Server(tmp_path_factory.mktemp("command")) as server:
        yield server
