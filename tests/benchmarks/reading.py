"""Measure how images are read: giant files, a region of one, and the speed beside libraries.

PYTHONPATH=tests python tests/benchmarks/reading.py giants --folder /tmp/giants
PYTHONPATH=tests python tests/benchmarks/reading.py region --folder /tmp/giants
PYTHONPATH=tests python tests/benchmarks/reading.py speed --folder /tmp/giants

Each measurement is a process of its own, whose highest resident memory the system tells when it ends. The
files are made once, of a real photo tiled under many lights, and are left in the folder.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import http.server
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import tifffile
import zarr
from images import photo

from pipeline import Density, Packed, load_model, open_image, stream
from pipeline.images import tiff_pages
from pipeline.images.grid import choose_grids
from pipeline.images.kept import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, STRIP = 65_536, 32
REGION = ((10_000, 10_512), (20_000, 20_512))
SPEEDS = (
    "TIFF, tiles",
    "TIFF, strips",
    "TIFF, plain",
    "PNG",
    "JPEG",
    "Zarr",
    "npy",
    "JPEG 2000, GDAL",
    "HDF5",
)


def stripped(folder: Path) -> Path:
    """Write a BigTIFF of 2 gigapixels in compressed strips."""
    path = folder / "stripped.tif"
    if not path.exists():
        pixels = np.resize(photo(2048, lights=997), (1024, WIDTH, 3))
        strips = [zlib.compress(pixels[row : row + STRIP].tobytes(), 1) for row in range(0, 1024, STRIP)]
        _write(path, itertools.islice(itertools.cycle(strips), WIDTH // 2 // STRIP), rowsperstrip=STRIP)
    return path


def tiled(folder: Path) -> Path:
    """Write a BigTIFF of 2 gigapixels in compressed tiles."""
    path = folder / "tiled.tif"
    if not path.exists():
        pixels = photo(2048, lights=997)
        squares = itertools.product(range(0, 2048, 256), repeat=2)
        tiles = [zlib.compress(pixels[y : y + 256, x : x + 256].tobytes(), 1) for y, x in squares]
        _write(path, itertools.islice(itertools.cycle(tiles), WIDTH * WIDTH // 2 // 2**16), tile=(256, 256))
    return path


def _write(path: Path, pieces: Iterator[bytes], **options: Any) -> None:
    shape = (WIDTH // 2, WIDTH, 3)
    kind = {"photometric": "rgb", "compression": "deflate", "bigtiff": True}
    tifffile.imwrite(path, pieces, shape=shape, dtype="uint8", **kind, **options)


def giant_photo(folder: Path, suffix: str) -> Path:
    """Write a photo of 30,000 x 30,000 pixels."""
    import pyvips  # noqa: PLC0415  only here

    path = folder / f"giant{suffix}"
    if not path.exists():
        pixels = photo(3072, lights=997)[:3000, :3000]
        options = {"compression": 1} if suffix == ".png" else {"Q": 85}
        pyvips.Image.new_from_array(pixels).replicate(10, 10).write_to_file(os.fspath(path), **options)
    return path


def run(path: Path) -> str:
    """Stream a giant image; say how many pieces of a TIFF were decoded."""
    decoded, decode = [], tiff_pages.Pages._segment

    def _count(pages: Any, file: Any, number: int, index: int) -> Any:
        decoded.append((number, index))
        return decode(pages, file, number, index)

    tiff_pages.Pages._segment = _count  # type: ignore[method-assign]
    store = path.with_suffix(".zarr")
    shutil.rmtree(store, ignore_errors=True)
    density = Packed(Density(load_model("jones-rehg-skin")), "uint8", 1e-12, 1e-2, "log")
    receipt = stream(path, density, store, progress="none")
    shutil.rmtree(store)
    pieces = f"; {len(decoded)} decoded, {len(set(decoded))} of them different" if decoded else ""
    return f"{receipt}{pieces}"


def giants(folder: Path) -> None:
    """Run on giant files that have no small pieces."""
    paths = [stripped(folder), giant_photo(folder, ".jpg"), giant_photo(folder, ".png")]
    for path in paths:
        seconds, memory, word = spawned("run", path)
        print(f"{path.name} ({path.stat().st_size / 1e9:.1f} GB): {seconds:.1f} s, peak {memory:.2f} GiB")
        print(f"  {word}")


def spawned(task: str, path: Path) -> tuple[float, float, str]:
    """Do a task of this script in a process of its own.

    Returns
    -------
    seconds : float
    memory : float
        The highest resident memory in GiB, as the system tells it when the process has ended.
    word : str
        What the process printed.
    """
    started = time.perf_counter()
    command = [sys.executable, __file__, task, "--folder", os.fspath(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        word = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise SystemExit(f"the process for {path} ended with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20, word.strip()


def bytes_read() -> int:
    """Return how many bytes this process has read by system calls."""
    content = Path("/proc/self/io").read_text(encoding="ascii")
    return int(re.findall(r"rchar: (\d+)", content)[0])


class Server(http.server.SimpleHTTPRequestHandler):
    """Serve ranges of files, and count the bytes."""

    sent = 0

    def do_GET(self) -> None:
        """Send the range that is wanted."""
        content = Path(self.translate_path(self.path))
        size, wanted = content.stat().st_size, re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2] or size - 1), size - 1) if wanted else size - 1
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        with content.open("rb") as file:
            file.seek(first)
            Server.sent += self.wfile.write(file.read(last + 1 - first))

    def log_message(self, *_: object) -> None:
        """Be silent."""


def region(folder: Path) -> None:
    """Evaluate a region of 512 x 512 pixels of a file of 2 gigapixels, from the disk and over HTTP."""
    path, skin = tiled(folder), load_model("jones-rehg-skin")
    rows, columns = (slice(*ends) for ends in REGION)
    stream(np.zeros((64, 64, 3), np.uint8), Density(skin), folder / "first.zarr", progress="none")
    shutil.rmtree(folder / "first.zarr")
    size = path.stat().st_size
    before, started = bytes_read(), time.perf_counter()
    stream(open_image(path, region=(rows, columns)), Density(skin), folder / "region.zarr", progress="none")
    seconds, read = time.perf_counter() - started, bytes_read() - before
    shutil.rmtree(folder / "region.zarr")
    print(f"from the disk: {seconds:.2f} s, {read / 1e6:.2f} MB of {size / 1e6:.0f} MB read")

    def handler(*args: Any) -> Server:
        return Server(*args, directory=os.fspath(folder))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
    started = time.perf_counter()
    found = open_image(url, region=(rows, columns)).compute()
    seconds = time.perf_counter() - started
    np.testing.assert_array_equal(found, open_image(path)[rows, columns].compute())
    server.shutdown()
    print(f"over HTTP: {seconds:.2f} s, {Server.sent / 1e6:.2f} MB sent")


def read_blocks(path: Any) -> None:
    """Read all blocks of an image in two threads, as a run does."""
    image = open_image(path)
    grid = choose_grids(image.extent, tile=image.tile, unit=image.unit, block=None, n_threads=2)[0]
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda block: image.part(block.region).read()[0] is None, grid.blocks()):
            pass


def speed(folder: Path) -> None:
    """Read whole images by this package and by the library of their format, by turns."""
    for name in SPEEDS:
        path, library = _example(folder, name)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(5):
            # What is kept of the last time isn't measured.
            KEPT.release()
            started = time.perf_counter()
            read_blocks(path)
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            library()
            theirs.append(time.perf_counter() - started)
        mine, other = statistics.median(ours), statistics.median(theirs)
        print(f"{name}: {mine:.2f} s, library {other:.2f} s, speed {other / mine:.2f} of it")


def _example(folder: Path, name: str) -> tuple[Any, Callable[[], Any]]:
    """Write an image of 67 megapixels; return its path and how the library of its format reads it."""
    pixels = photo(8192, lights=997)
    path = folder / f"speed-{name.replace(', ', '-').replace(' ', '-')}"
    if name.startswith("TIFF"):
        kinds: dict[str, Any] = {
            "TIFF, tiles": {"tile": (256, 256), "compression": "deflate"},
            "TIFF, strips": {"rowsperstrip": 16, "compression": "lzw"},
            "TIFF, plain": {},
        }
        tifffile.imwrite(path, pixels, photometric="rgb", **kinds[name])
        return path, lambda: tifffile.imread(path, maxworkers=os.cpu_count())
    if name in {"PNG", "JPEG"}:
        path = path.with_suffix(".png" if name == "PNG" else ".jpg")
        cv2.imwrite(os.fspath(path), pixels)
        return path, lambda: cv2.imread(os.fspath(path), cv2.IMREAD_COLOR_RGB)
    if name == "Zarr":
        array = zarr.create_array(
            path, shape=pixels.shape, chunks=(1024, 1024, 3), dtype="u1", overwrite=True
        )
        array[:] = pixels
        return path, lambda: zarr.open_array(path, mode="r")[:]
    if name == "npy":
        path = path.with_suffix(".npy")
        np.save(path, pixels)
        return path, lambda: np.load(path)
    if name == "HDF5":
        import h5py  # noqa: PLC0415  an extra

        with h5py.File(path, "w") as file:
            file.create_dataset("image", data=pixels, chunks=(512, 512, 3), compression="lzf")
        return f"{path}::/image", lambda: h5py.File(path)["image"][:]
    import rasterio  # noqa: PLC0415  an extra

    path = path.with_suffix(".jp2")
    options = {"driver": "JP2OpenJPEG", "count": 3, "dtype": "uint8", "quality": 100, "reversible": True}
    small = pixels[:2048, :2048]
    with rasterio.open(path, "w", height=2048, width=2048, **options) as file:
        file.write(np.moveaxis(small, -1, 0))
    return path, lambda: rasterio.open(path).read()


def main() -> None:
    """Measure what the first argument names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("giants", "region", "speed", "run"))
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    if options.what == "run":
        print(run(options.folder))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    {"giants": giants, "region": region, "speed": speed}[options.what](options.folder)


if __name__ == "__main__":
    main()
