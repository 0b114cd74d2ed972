"""Runs on images and stores in object storage: killed, resumed, verified, damaged, mended and read."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import obstore
import pytest
import tifffile
import xarray
import zarr
from click.testing import CliRunner
from distributed import Client, LocalCluster
from object_server import KEY, SECRET
from obstore.store import from_url
from runs.disturbed import ASKED, QUANTITIES, SKIN

from pipeline import (
    Density,
    Mixture,
    compute_densities,
    export,
    open_image,
    open_result,
    plan,
    resume,
    stream,
    verify,
)
from pipeline.cli import main
from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import lease

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECRETS = [SECRET.encode(), KEY.encode()]


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "INTERVAL", 1.0)


@pytest.fixture
def image(bucket: str, photo: NDArray[np.uint8], tmp_path: Path) -> str:
    """Put a tiled TIFF into the bucket."""
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "photo.tif", photo, **options)
    ObjectFolder(f"{bucket}/in").write("photo.tif", [(tmp_path / "photo.tif").read_bytes()])
    return f"{bucket}/in/photo.tif"


def names_below(url: str) -> list[str]:
    """Return the names of all objects below a URL."""
    return [name for name, _ in ObjectFolder(url).names()]


def test_a_killed_run_is_resumed_and_read_by_others(
    bucket: str, image: str, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    """A run that is killed goes on; its store equals a directory's, and opens in Zarr and xarray."""
    out = f"{bucket}/results/out.zarr"
    command = [sys.executable, "-m", "pipeline", "run", image, out, *ASKED, "--block", "64"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if sum("/0/image/c/" in name for name in names_below(f"{out}.partial")) >= 3:
                break
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL
    assert names_below(out) == []
    with pytest.raises(FileNotFoundError, match=r"is unfinished\. Go on with"):
        open_result(out)
    found = CliRunner().invoke(main, ["verify", out])
    assert (found.exit_code, "the run is unfinished" in found.output) == (1, True)
    receipt = resume(out)
    assert 0 < receipt.kept_blocks < receipt.blocks == 64
    assert names_below(f"{out}.partial") == []
    assert verify(out).intact
    wanted = compute_densities(photo, SKIN)
    np.testing.assert_array_equal(open_result(out)["density"], wanted)
    assert open_result(out).to_xarray(0)["density"].shape == photo.shape[:2]
    opened = zarr.open_group(zarr.storage.ObjectStore(from_url(out)), mode="r")
    np.testing.assert_array_equal(opened["0/image"][0], wanted)
    with xarray.open_zarr(zarr.storage.ObjectStore(from_url(out)), group="0", consolidated=False) as dataset:
        np.testing.assert_array_equal(dataset["image"][0], wanted)
    stream(image, QUANTITIES, tmp_path / "out.zarr", block=64)
    files = [path for path in (tmp_path / "out.zarr").rglob("*") if path.is_file()]
    local = {path.relative_to(tmp_path / "out.zarr").as_posix(): path.read_bytes() for path in files}
    assert sorted(local) == names_below(out)
    for name, content in local.items():
        assert name == "zarr.json" or ObjectFolder(out).read(name) == content, name


def test_damage_is_found_and_mended(bucket: str, image: str) -> None:
    """A flipped byte and a deleted object are named, and resuming mends them in their place."""
    out = f"{bucket}/out.zarr"
    stream(image, QUANTITIES, out, block=256)
    folder = ObjectFolder(out)
    first, second = (name for name in names_below(out) if name.startswith("0/image/c/0/0"))
    whole = folder.read(first)
    folder.write(first, [whole[:9], bytes([whole[9] ^ 1]), whole[10:]])
    folder.remove([second])
    found = verify(out)
    assert [(fault.kind, fault.block) for fault in found.faults] == [("damaged", (0, 0)), ("missing", (0, 1))]
    receipt = resume(out)
    assert (receipt.kept_blocks, verify(out).intact) == (2, True)
    assert folder.read(first) == whole
    assert names_below(f"{out}.partial") == []


def test_overwriting_and_refusals(bucket: str, image: str) -> None:
    """A store is replaced if that is said, and refused otherwise."""
    out = f"{bucket}/out.zarr"
    density = {"density": QUANTITIES["density"]}
    stream(image, QUANTITIES, out)
    with pytest.raises(FileExistsError, match=r"out\.zarr exists. Choose another output, mend it"):
        stream(image, density, out)
    with pytest.raises(FileExistsError, match=r"out\.zarr exists"):
        plan(image, density, out)
    stream(image, density, out, overwrite=True)
    assert list(open_result(out)) == ["density"]
    assert not [name for name in names_below(out) if name.startswith(("packed", "labels"))]


def test_two_runs_at_once(bucket: str, image: str) -> None:
    """Of two runs on one output one is refused, and the other's store is whole."""
    out = f"{bucket}/out.zarr"

    def run(_: int) -> str:
        try:
            stream(image, QUANTITIES, out, block=64)
        except (BlockingIOError, FileExistsError) as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(2) as pool:
        ended = sorted(pool.map(run, range(2)))
    assert ended in (["BlockingIOError", "done"], ["FileExistsError", "done"])
    assert verify(out).intact


def test_a_cluster_writes_by_itself(bucket: str, image: str, photo: NDArray[np.uint8]) -> None:
    """Worker processes find the server and the credentials in their own environment."""
    out = f"{bucket}/out.zarr"
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
    }
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        receipt = stream(image, QUANTITIES, out, block=256, client=client)
    assert receipt.blocks == 4
    assert verify(out).intact
    np.testing.assert_array_equal(open_result(out)["density"], compute_densities(photo, SKIN))


def test_the_command_takes_urls(bucket: str, image: str, tmp_path: Path) -> None:
    """Each command finds a store behind a URL."""
    out = f"{bucket}/a b/out.zarr"
    picture, file = str(tmp_path / "out.png"), str(tmp_path / "out.tif")
    for words, said in (
        (["plan", image, out, *ASKED], "blocks"),
        (["run", image, out, *ASKED], f"{out}: 0.3 megapixels"),
        (["info", image], "512 x 512"),
        (["info", out], f"store {out}: "),
        (["verify", out], f"{out}: "),
        (["resume", out], "nothing was left to do"),
        (["preview", out, picture, "--result", "density"], picture),
        (["export", out, file, "--result", "density"], file),
    ):
        found = CliRunner().invoke(main, words)
        assert found.exit_code == 0, (words, found.output)
        assert said in found.output, words
    np.testing.assert_array_equal(tifffile.imread(file), open_result(out)["density"])
    np.testing.assert_array_equal(open_image(f"{out}/0/image").compute()[..., 0], open_result(out)["density"])
    assert Path(export(out, tmp_path / "x.tif", result="density")).exists()


def test_credentials_land_nowhere(
    bucket: str, image: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """No object, log, repr or pickle holds the key or its secret."""
    out = f"{bucket}/out.zarr"
    with caplog.at_level(logging.DEBUG):
        receipt = stream(image, QUANTITIES, out)
        result = open_result(out)
        found = verify(out)
    client = from_url(bucket)
    objects = [
        item["path"] for chunk in obstore.list(client) for item in chunk if "photo" not in item["path"]
    ]
    assert objects
    texts = [bytes(obstore.get(client, path).bytes()) for path in objects]
    texts += [repr(one).encode() for one in (receipt, result, found, open_image(image))]
    texts += [
        pickle.dumps(result["density"]),
        pickle.dumps(open_image(image).part((slice(0, 9), slice(0, 9)))),
    ]
    captured = capsys.readouterr()
    texts += [caplog.text.encode(), captured.out.encode(), captured.err.encode()]
    assert not [text for text in texts for secret in SECRETS if secret in text]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET


def test_an_image_is_not_replaced_by_its_results(bucket: str, image: str) -> None:
    """A store that is the image of a run can't be its output too."""
    out = f"{bucket}/out.zarr"
    stream(image, QUANTITIES["density"], out)
    with pytest.raises(ValueError, match=r"out\.zarr and image s3://.*/out\.zarr.* lie inside one another"):
        stream(f"{out}/0/image", Density(Mixture([1.0], [[0.0]], [[1.0]])), out, overwrite=True)
