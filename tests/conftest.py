"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numexpr
import pytest
import tifffile
from distributed import Client, LocalCluster
from forked import Server
from hypothesis import settings
from numexpr import interpreter
from numexpr.necompiler import NumExpr
from object_server import ObjectServer

from pipeline import Mixture, load_model
from pipeline.demo import load_photo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Fixtures of a session that are slow to set up.
SHARED = {"processes", "command"}
# How long an example takes says more of the machine than of the code. Many more examples are tried by
# `pytest --hypothesis-profile=thorough`.
settings.register_profile("untimed", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, and let one process have all that share what is slow to set up."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")
    for item in items:
        for shared in SHARED & set(getattr(item, "fixturenames", ())):
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(shared))


@cache
def parts_of_expression(text: str, signature: tuple[tuple[str, type], ...]) -> tuple[Any, ...]:
    """Compile an expression of numexpr, and return what an object that evaluates it is made of."""
    made = NumExpr(text, signature)
    return made.signature, made.tempsig, made.program, made.constants, made.input_names


# Many tests evaluate the same expressions in many threads, and compiling one takes longer than evaluating it.
numexpr.NumExpr = lambda text, signature: interpreter.NumExpr(*parts_of_expression(text, tuple(signature)))


@pytest.fixture(scope="session")
def skin() -> Mixture:
    """Give the published skin mixture."""
    return load_model("jones-rehg-skin")


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """Give a real photo of a person, red, green, blue."""
    image = load_photo()
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


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Give a server of S3."""
    with ObjectServer(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def bucket(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty bucket that this process may write to."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in object_server.variables.items():
        monkeypatch.setenv(name, value)
    return object_server.make_bucket()


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of images, good and bad."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.png", photo[..., ::-1])
    cv2.imwrite("photo.jpg", photo[..., ::-1])
    for kind in ("jpg", "png"):
        whole = (tmp_path / f"photo.{kind}").read_bytes()
        (tmp_path / f"truncated.{kind}").write_bytes(whole[: len(whole) // 2])
    tifffile.imwrite("photo.tif", photo, tile=(128, 128), compression="zlib", photometric="rgb")
    whole = (tmp_path / "photo.tif").read_bytes()
    (tmp_path / "truncated.tif").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    tifffile.imwrite("two.tif", photo[..., :2], planarconfig="contig", photometric="minisblack")
    (tmp_path / "other").mkdir()
    return tmp_path
