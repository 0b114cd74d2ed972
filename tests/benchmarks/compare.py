"""Compare every way to the density of a mixture: in memory, from Zarr to Zarr, and as images grow.

python tests/benchmarks/compare.py

This also runs `pixels.py`, prints all tables in Markdown, and draws the picture. With `--record` the results
and the picture take the place of the recorded ones. Packages that are missing are left out: PyTorch isn't in
the extra `bench`, and `competitors.py` says how to install it.

In memory everything has one thread: the process is pinned to one core (on Linux; elsewhere variables of the
environment alone say so). From Zarr to Zarr every way has a thread a core. Each way runs by turns with ours;
times are medians, and ratios medians of the pairs' ratios. Memory is what a way adds to a process of its own
that has its imports and the image. Results are written as JSON and as a bar chart.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import draw, print_report, regressions

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PACKAGES = (
    *("mixture-pipeline", "numpy", "numexpr", "opencv-python-headless", "zarr", "numcodecs", "dask"),
    *("scikit-learn", "scipy", "blosc2", "jax", "numba", "torch", "tensorstore", "zarrs"),
)
ONE_THREAD = {
    **dict.fromkeys(
        (
            *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
            *("NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"),
        ),
        "1",
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
    # What it compiled for an earlier run would make a first call look short.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}
SMOKE = {
    "megapixels": 0.25,
    "zarr_megapixels": 0.25,
    "by_hand_megapixels": 0.25,
    "repeats": 1,
    "sizes": [0.25],
    "peaks": ["table-cold"],
    "pixels_side": 512,
}


@contextmanager
def pinned() -> Iterator[None]:
    """Let child processes have one core, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def child(script: str, *arguments: object, threads: dict[str, str] | None = None) -> Any:
    """Run a script of this directory and read the JSON that it prints.

    This process itself stays small: a child's peak memory starts from its parent's on Linux.
    """
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **(threads or {})},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def in_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Time the ways in one process, and take each one's peak memory in another of its own."""
    common = ("--megapixels", options.megapixels, "--repeats", options.repeats)
    # A smoke run may have company: pinned beside others to one core, it would take long.
    with nullcontext() if options.smoke else pinned():
        results: dict[str, Any] = child("in_memory.py", *common, threads=ONE_THREAD)
        for way in results["ways"]:
            if options.peaks is None or way["way"] in options.peaks:
                way.update(child("in_memory.py", *common, "--one", way["way"], threads=ONE_THREAD))
    return results


def pixels(options: argparse.Namespace) -> dict[str, Any]:
    """Time the ways that compute every pixel; the script pins itself."""
    arguments = ["--json", "--side", options.pixels_side, "--turns", options.repeats]
    results: dict[str, Any] = child("pixels.py", *arguments, *["--smoke"] * options.smoke, threads=ONE_THREAD)
    return results


def zarr_to_zarr(options: argparse.Namespace) -> dict[str, Any]:
    """Time runs on all cores."""
    arguments = ["--megapixels", options.zarr_megapixels, "--repeats", max(1, min(3, options.repeats))]
    arguments += ["--by-hand-megapixels", options.by_hand_megapixels, "--sizes", *options.sizes]
    results: dict[str, Any] = child("zarr_to_zarr.py", *arguments)
    return results


def machine() -> dict[str, Any]:
    """Name the processor, the system and the versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    processor = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        names = [line for line in listing.read_text(encoding="utf-8").splitlines() if "model name" in line]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=16, help="in memory (2**20 pixels each)")
    parser.add_argument("--pixels-side", type=int, default=2048, help="of pixels.py; 0 leaves it out")
    parser.add_argument("--zarr-megapixels", type=float, default=400, help="0 leaves Zarr out")
    parser.add_argument("--by-hand-megapixels", type=float, default=16, help="of the slow NumPy run on Dask")
    parser.add_argument("--sizes", type=float, nargs="*", default=[16, 64, 256, 1024], help="of the scaling")
    parser.add_argument("--repeats", type=int, default=5, help="pairs; from Zarr to Zarr 3 at most")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that all of it runs")
    parser.add_argument("--check", type=Path, help="recorded results: fail if a ratio is 1.5 times worse")
    parser.add_argument("--output", type=Path, default=Path("benchmarks"), help="directory of the results")
    parser.add_argument("--record", action="store_true", help="renew results.json and the README's picture")
    options = parser.parse_args(arguments)
    options.peaks = None
    if options.smoke and options.record:
        parser.error("a smoke run is nothing to record")
    if options.smoke:
        vars(options).update(SMOKE)
    return options


def main() -> None:
    """Measure, print and write."""
    options = parse()
    # What is recorded may be what is replaced.
    recorded = json.loads(options.check.read_text(encoding="utf-8")) if options.check else None
    options.output.mkdir(parents=True, exist_ok=True)
    written, picture = options.output / "compare.json", options.output / "compare.png"
    results: dict[str, Any] = {"machine": machine(), "smoke": options.smoke}
    parts = {"in_memory": in_memory}
    if options.pixels_side:
        parts["pixels"] = pixels
    if options.zarr_megapixels:
        parts["zarr_to_zarr"] = zarr_to_zarr
    for name, run in parts.items():
        print(name.replace("_", " "), file=sys.stderr)
        results[name] = run(options)
        written.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print_report(results)
    draw(results, picture)
    if options.record:
        shutil.copyfile(written, HERE / "results.json")
        if picture.exists():
            shutil.copyfile(picture, HERE.parents[1] / "notebooks" / "benchmark.png")
    if recorded:
        worse = regressions(results, recorded)
        sys.exit("\n".join(["worse than recorded:", *worse]) if worse else 0)


if __name__ == "__main__":
    main()
