"""Images behind URLs are read by ranges from a real server, and secrets are neither shown nor recorded."""

from __future__ import annotations

import json
import pickle
import re
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import obstore.fsspec
import pytest
import tifffile
import zarr
from images.examples import HEIGHT, WIDTH, noise, write_tiff

from pipeline import Density, load_model, open_result, resume, stream
from pipeline.images import remote
from pipeline.images.object_storage import ObjectFolder
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.remote import RemotePath, as_local, is_url, places_of, without_secrets
from pipeline.images.reopening import reopen
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from object_server import ObjectServer

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3)
TILES = {"tile": (32, 48), "compression": "deflate"}


class Server(ThreadingHTTPServer):
    """A server of files on loopback, which counts the bytes of files that it sends."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.sent, self.ranges, self.status = 0, True, 200
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        """Send the facts about a file."""
        self._send(with_body=False)

    def do_GET(self) -> None:
        """Send a file or a part of it."""
        self._send(with_body=True)

    def log_message(self, *args: Any) -> None:
        """Keep silent."""

    def _send(self, *, with_body: bool) -> None:
        path = Path(self.translate_path(self.path))
        if self.server.status != 200 or not path.is_file():
            self.send_response(self.server.status if self.server.status != 200 else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = path.stat()
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.server.ranges else None
        first = int(wanted[1]) if wanted else 0
        last = min(status.st_size - 1, int(wanted[2])) if wanted and wanted[2] else status.st_size - 1
        self.send_response(206 if wanted and with_body else 200)
        self.send_header("Content-Length", str(last + 1 - first if with_body else status.st_size))
        self.send_header("ETag", f'"{status.st_mtime_ns}"')
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
        self.end_headers()
        if with_body:
            self.server.sent += last + 1 - first
            with path.open("rb") as file, suppress(ConnectionError):
                file.seek(first)
                self.wfile.write(file.read(last + 1 - first))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve a folder of files."""
    with Server(tmp_path) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def put_images(folder: Path, bucket: str) -> tuple[str, str]:
    """Put a TIFF and a Zarr group into a bucket; return the URLs of the file and of an array."""
    place = folder / "objects"
    place.mkdir()
    write_tiff(place / "x.tif", PIXELS, **TILES)
    zarr.create_group(place / "x.zarr").create_array("image", data=PIXELS, chunks=(32, 32, 3))
    for path in place.rglob("*"):
        if path.is_file():
            ObjectFolder(f"{bucket}/in").write(path.relative_to(place).as_posix(), [path.read_bytes()])
    return f"{bucket}/in/x.tif", f"{bucket}/in/x.zarr/image"


class TestContract(SourceContract):
    """TIFFs and Zarr arrays behind URLs keep the contract of sources."""

    @pytest.fixture(params=["TIFF", "Zarr 2", "Zarr 3", "TIFF in S3", "Zarr in S3"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path, server: Server, bucket: str) -> Case:
        """Return an image behind a URL of each kind."""
        if request.param.endswith("in S3"):
            return open_source(put_images(tmp_path, bucket)[request.param.startswith("Zarr")]), PIXELS
        if request.param == "TIFF":
            write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
            return open_source(f"{server.url}/x.tif"), PIXELS
        group = zarr.create_group(tmp_path / "x.zarr", zarr_format=int(request.param[-1]))
        group.create_array("image", data=PIXELS, chunks=(32, 32, 3))
        return open_source(f"{server.url}/x.zarr/image"), PIXELS


def test_a_region_reads_few_bytes(tmp_path: Path, server: Server) -> None:
    """Opening a large TIFF and reading a region of it transfers less than 2% of the file."""
    tile = noise(256, 256)
    tifffile.imwrite(
        tmp_path / "x.tif",
        (tile for _ in range(32 * 32)),
        shape=(8192, 8192),
        dtype="uint8",
        tile=(256, 256),
        compression="zstd",
    )
    source = open_source(f"{server.url}/x.tif")
    assert source.shape == (8192, 8192, 1)
    read = source.read((slice(3000, 3512), slice(5000, 5512)))
    np.testing.assert_array_equal(read[..., 0], np.tile(tile, (32, 32))[3000:3512, 5000:5512])
    assert 512 * 512 <= server.sent < 0.02 * (tmp_path / "x.tif").stat().st_size


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_of_a_remote_group(tmp_path: Path, server: Server, zarr_format: int) -> None:
    """An OME-Zarr behind a URL opens by its levels, with its axes, and so does a level's own URL."""
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=zarr_format)  # type: ignore[arg-type]
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "yx")]
    scales = [{"type": "scale", "scale": [1, 2**level, 2**level]} for level in (0, 1)]
    datasets = [{"path": str(level), "coordinateTransformations": [scales[level]]} for level in (0, 1)]
    multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs.update({"ome": {"version": "0.5", "multiscales": multiscales}, "multiscales": multiscales})
    for step in (1, 2):
        group.create_array(str(step - 1), data=np.moveaxis(PIXELS, -1, 0)[:, ::step, ::step])
    for level in (0, 1):
        image = open_image(f"{server.url}/x.zarr", level=level)
        np.testing.assert_array_equal(image, PIXELS[:: level + 1, :: level + 1])
        np.testing.assert_array_equal(open_image(f"{server.url}/x.zarr/{level}"), image)
        place = image.source.place()
        assert place == {"image": f"{server.url}/x.zarr", **({"level": 1} if level else {})}
        np.testing.assert_array_equal(reopen(place), image)
        assert image.name == f"{server.url}/x.zarr"


def test_a_remote_file_that_changed(tmp_path: Path, server: Server) -> None:
    """The version that a server tells is part of the identity, and another one isn't read."""
    write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
    image = open_image(f"{server.url}/x.tif")
    identity = str(image.description.identity)
    assert re.fullmatch(r"\d+ bytes, version [0-9a-f]{16}", identity)
    assert open_image(f"{server.url}/x.tif").description.identity == identity
    assert (image.paths, image.name) == ((), f"{server.url}/x.tif")
    write_tiff(tmp_path / "x.tif", PIXELS[::-1].copy(), **TILES)
    with pytest.raises(ValueError, match=r"http://.*/x\.tif changed since it was opened"):
        image.compute()
    assert open_image(f"{server.url}/x.tif").description.identity != identity


def test_secrets_stay_secret(tmp_path: Path, server: Server) -> None:
    """User, password and signature are used for reading, and neither shown nor recorded."""
    write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
    url = server.url.replace("//", "//anna:hush@") + "/x.tif?X-Amz-Signature=hush&X-Amz-Date=3"
    source = open_source(url)
    assert source.place() == {"image": f"{server.url}/x.tif"}
    again = pickle.loads(pickle.dumps(source))  # noqa: S301  made on this line
    np.testing.assert_array_equal(again.read((slice(0, 9), slice(0, 9))), PIXELS[:9, :9])
    assert again.path.url == url
    (tmp_path / "x.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"/x\.tif is not there") as missing:
        source.read((slice(0, 9), slice(0, 9)))
    shown = [
        repr(source),
        str(source),
        json.dumps(source.place()),
        str(missing.value),
        str(source.identity()),
    ]
    assert "hush" not in "".join(shown)
    assert missing.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.org/a.tif?id=5", "https://x.org/a.tif?id=5"),
        ("https://u:p@x.org:80/a.tif", "https://x.org:80/a.tif"),
        ("https://x.org/a.tif?sv=2020&sr=b&sig=abc", "https://x.org/a.tif"),
        ("https://x.org/a.tif?id=5&access_token=abc", "https://x.org/a.tif"),
        ("s3://bucket/a.zarr", "s3://bucket/a.zarr"),
    ],
)
def test_urls_without_secrets(url: str, shown: str) -> None:
    """A query is shown unless one of its parameters is a secret."""
    assert without_secrets(url) == RemotePath(url) == shown
    assert RemotePath(url).url == url


def test_what_a_url_is() -> None:
    """A scheme has several letters; a file's URL is a path."""
    assert is_url("s3://b/x.tif")
    assert not any(map(is_url, ("C://x.tif", "/a/x.tif", "x.tif", Path("s3://b/x.tif"), 3)))
    assert as_local("file:///tmp/a%20b.tif") == as_local("file://localhost/tmp/a%20b.tif") == "/tmp/a b.tif"  # noqa: S108
    assert as_local("s3://b/x.tif") is None


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    """The URL of a local file opens it with its path, and so does that of a directory."""
    path = write_tiff(tmp_path / "x y.tif", PIXELS, **TILES)
    zarr.create_array(tmp_path / "x.zarr", data=PIXELS)
    assert open_source(path.as_uri()).place() == {"image": str(path)}
    np.testing.assert_array_equal(open_image((tmp_path / "x.zarr").as_uri()), PIXELS)
    with pytest.raises(FileNotFoundError, match=r"/none\.tif is not there"):
        open_image((tmp_path / "none.tif").as_uri())


def test_files_in_a_file_system_of_memory() -> None:
    """Any file system of fsspec will do, for example that of memory."""
    system = fsspec.filesystem("memory")
    with system.open("/remote/x.tif", "wb") as file:
        tifffile.imwrite(file, PIXELS, photometric="rgb", **TILES)
    zarr.create_array(zarr.storage.FsspecStore.from_url("memory://remote/x.zarr"), data=PIXELS)
    try:
        for name in ("x.tif", "x.zarr"):
            np.testing.assert_array_equal(open_image(f"memory://remote/{name}"), PIXELS)
        place = open_source("memory://remote/x.tif").place()
        assert place is not None
        np.testing.assert_array_equal(reopen(place), PIXELS)
    finally:
        system.rm("/remote", recursive=True)


def test_threads_and_processes_read(tmp_path: Path, server: Server) -> None:
    """Threads, and a spawned process, read regions of one remote file."""
    write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
    source = open_source(f"{server.url}/x.tif")
    parts = [source.part((slice(n, n + 40), slice(n, 80))) for n in range(30)]
    with ThreadPoolExecutor(8) as pool:
        for n, read in enumerate(pool.map(lambda part: part.read(), parts)):
            np.testing.assert_array_equal(read, PIXELS[n : n + 40, n:80])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        np.testing.assert_array_equal(processes.submit(parts[3].read).result(), PIXELS[3:43, 3:80])


def test_objects_have_a_version(tmp_path: Path, bucket: str) -> None:
    """An image in object storage is found again by its place, and another version of it isn't read."""
    for url in put_images(tmp_path, bucket):
        image = open_image(url)
        place = image.source.place()
        assert (image.name, image.paths, place) == (url, (), {"image": url})
        np.testing.assert_array_equal(reopen({"image": url}), image)
    file = ObjectFolder(f"{bucket}/in")
    image = open_image(f"{file.url}/x.tif")
    identity = image.description.identity
    assert re.fullmatch(r"\d+ bytes, version [0-9a-f]{16}", str(identity))
    file.write("x.tif", [file.read("x.tif") + b" "])
    with pytest.raises(ValueError, match=r"s3://.*/x\.tif changed since it was opened"):
        image.compute()
    assert open_image(f"{file.url}/x.tif").description.identity != identity


def test_objects_are_read_by_ranges(tmp_path: Path, bucket: str, object_server: ObjectServer) -> None:
    """A region of a TIFF in object storage takes few requests, and hardly more bytes than its tiles."""
    tile = noise(256, 256)
    tiles = (tile for _ in range(16 * 16))
    options: dict[str, Any] = {"tile": (256, 256), "compression": "zstd"}
    tifffile.imwrite(tmp_path / "x.tif", tiles, shape=(4096, 4096), dtype="uint8", **options)
    ObjectFolder(bucket).write("x.tif", [(tmp_path / "x.tif").read_bytes()])
    source = open_source(f"{bucket}/x.tif")
    before = len(object_server.requests(bucket))
    read = source.read((slice(3000, 3512), slice(1000, 1512)))
    np.testing.assert_array_equal(read[..., 0], np.tile(tile, (16, 16))[3000:3512, 1000:1512])
    assert len(object_server.requests(bucket)) - before < 20


def test_a_run_on_a_remote_image_is_resumed(tmp_path: Path, bucket: str) -> None:
    """The place of an image in object storage is recorded, by its URL or by a store of Zarr that reads it."""
    file, array = put_images(tmp_path, bucket)
    system = obstore.fsspec.FsspecStore("s3", asynchronous=True)
    stores = (
        zarr.storage.ObjectStore(obstore.store.from_url(f"{bucket}/in/x.zarr")),
        zarr.storage.FsspecStore(system, path=f"{bucket.removeprefix('s3://')}/in/x.zarr"),
    )
    opened = [zarr.open_array(store, path="image", mode="r") for store in stores]
    for number, image in enumerate((file, array, *opened)):
        out = tmp_path / f"{number}.zarr"
        stream(image, {"density": Density(load_model("jones-rehg-skin"))}, out)
        (out / "0" / "image" / "c" / "0" / "0" / "0").unlink()
        assert resume(out).kept_blocks == 0
        assert open_result(out).image.place == {"image": file if image is file else array}


def test_objects_that_can_not_be_read(tmp_path: Path, bucket: str) -> None:
    """What isn't there is named by its URL."""
    url = f"{bucket}/in"
    put_images(tmp_path, bucket)
    for name, message in (
        ("none.tif", r"/in/none\.tif is not there; wanted an image file or a Zarr array$"),
        ("none.zarr", r"/in/none\.zarr is no Zarr array or group that is there"),
        ("", r"/in/ is not there"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            open_image(f"{url}/{name}")
    for name in ("x.tif", "x.zarr"):
        with pytest.raises(FileNotFoundError, match=r"nowhere-at-all.*(no such bucket|is not? )"):
            open_image(f"s3://nowhere-at-all/{name}")


def test_the_places_of_sources(tmp_path: Path, bucket: str) -> None:
    """Local files are paths, objects are URLs, and arrays in memory are nowhere."""
    urls = put_images(tmp_path, bucket)
    file = write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
    sources = [open_source(place) for place in (*urls, str(file), PIXELS)]
    assert places_of(sources) == [file, *urls]


def test_what_fsspec_was_told_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the configuration of fsspec says something about a scheme, fsspec reads its URLs."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {})
    system, path = fsspec.url_to_fs(write_tiff(tmp_path / "x.tif", PIXELS, **TILES).as_uri())
    monkeypatch.setattr(remote, "_locate", lambda _: (system, path))
    np.testing.assert_array_equal(open_image("s3://anywhere/x.tif"), PIXELS)


def test_what_can_not_be_read(tmp_path: Path, server: Server) -> None:
    """What the server, or the file, lacks is named with the URL, and is no damage."""
    (tmp_path / "x.txt").write_bytes(b"Dear reader,\n" * 9)
    write_tiff(tmp_path / "x.tif", PIXELS, **TILES)
    zarr.create_array(tmp_path / "x.zarr", data=PIXELS)
    url = server.url
    for name, error, message in (
        ("none.tif", FileNotFoundError, r"http://.*/none\.tif is not there"),
        ("none.zarr", FileNotFoundError, r"http://.*/none\.zarr is no Zarr array or group that is there"),
        ("x.txt", ValueError, r"http://.*/x\.txt is neither a TIFF nor a Zarr array.*Download it"),
    ):
        with pytest.raises(error, match=message):
            open_image(f"{url}/{name}")
    with pytest.raises(ValueError, match=r"channel_axis is 0, but http://.*x\.tif is a file"):
        open_image(f"{url}/x.tif", channel_axis=0)
    with pytest.raises(ValueError, match=r"level is 1, but http://.*x\.zarr is a Zarr array, which has none"):
        open_image(f"{url}/x.zarr", level=1)
    with pytest.raises(ValueError, match=r"image is the URL http://127.* as a Path; wanted text"):
        open_image(Path(f"{url}/x.tif"))
    image = open_image(f"{url}/x.tif")
    server.status = 403
    with pytest.raises(PermissionError, match=r"x\.tif: its server refuses to send it. Give fsspec"):
        image.compute()
    server.status = 500
    with pytest.raises(OSError, match=r"x\.tif can't be read: "):
        image.compute()


def test_servers_without_ranges(tmp_path: Path, server: Server) -> None:
    """A server that sends files as a whole is refused with advice."""
    server.ranges = False
    tifffile.imwrite(
        tmp_path / "x.tif", noise(900, 900, 3), photometric="rgb", tile=(256, 256), compression="lzw"
    )
    with pytest.raises(ValueError, match=r"x\.tif: its server can't send parts of a file. Download it"):
        open_image(f"{server.url}/x.tif").compute()


def test_no_server_and_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that doesn't answer, a scheme that nobody knows, and a missing library are named."""
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:9/x\.tif can't be read: Cannot connect"):
        open_image("http://u:hush@127.0.0.1:9/x.tif")
    with pytest.raises(ValueError, match=r"foo://b/x\.tif is a URL that fsspec doesn't know"):
        open_image("foo://b/x.tif")

    def refuse(_: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote, "_locate", refuse)
    monkeypatch.setattr(remote, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"s3://b/x\.tif can't be .* pip install 'mixture-pipeline\[s3\]'"):
        open_image("s3://b/x.tif")
    with pytest.raises(ImportError, match=r"hdfs://b/x\.tif can't .* missing. Install it: Install s3fs"):
        open_image("hdfs://b/x.tif")
    with pytest.raises(
        ImportError, match=r"http://b/x\.tif can't .* pip install 'mixture-pipeline\[remote\]'"
    ):
        open_image("http://b/x.tif")
