"""The benchmarks run; what they measure is nobody's test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks.report import regressions
from benchmarks.way import Way

COMPARE = Path(__file__).parent / "benchmarks" / "compare.py"
PARITY = COMPARE.with_name("parity.py")
CLUSTER = COMPARE.with_name("cluster.py")
# What float32 results can be off by, and what float32 arithmetic can.
ROUNDED, COMPUTED = 1e-7, 1e-4
pytestmark = pytest.mark.xdist_group("benchmarks")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the smoke version once."""
    output = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, str(COMPARE), "--smoke", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def results(smoke: tuple[Path, str]) -> dict[str, Any]:
    """Read the results."""
    found: dict[str, Any] = json.loads((smoke[0] / "compare.json").read_text(encoding="utf-8"))
    return found


def is_float32(label: str) -> bool:
    """Say whether a way computes in float32."""
    return "float32" in label


def test_every_way_is_right(smoke: tuple[Path, str]) -> None:
    """Each way that gives densities equals SciPy's."""
    ways = {way["way"]: way for way in results(smoke)["in_memory"]["ways"]}
    assert ways.pop("copy")["largest_relative_error"] is None
    errors = {way["label"]: way["largest_relative_error"] for way in ways.values()}
    assert all(error < (COMPUTED if is_float32(label) else ROUNDED) for label, error in errors.items()), (
        errors
    )


def test_every_way_is_right_for_any_pixels(smoke: tuple[Path, str]) -> None:
    """Each way equals our float64, for pixels of 16 bits, for full covariances, and for each quantity."""
    pixels = results(smoke)["pixels"]
    errors: dict[str, dict[str, float | None]] = {}
    for row in pixels["rows"]:
        errors.setdefault(row["case"], {})[row["label"]] = row["largest_relative_error"]
        assert min(row[key] for key in ("ns_per_pixel", "ratio_to_ours", "first_seconds")) > 0
    assert set(errors.pop("Label").values()) == {None}
    assert set(errors) == {
        *("uint16", "K = 4, C = 3, full"),
        *("LogDensity", "LogRatio", "Posterior", "Confidence", "Entropy"),
    }
    for case, found in errors.items():
        for label, error in found.items():
            assert error is not None, (case, label)
            assert error < (COMPUTED if is_float32(label) else ROUNDED), (case, label, error)
    ways = {row["way"] for row in pixels["rows"] if row["case"] == "uint16"}
    others = {"sklearn", "numexpr", "blosc2", "blosc2-kernel", "numba-float64", "numba-float32"}
    wanted = {"ours-numexpr", "ours-numpy", "ours-numba", *others, "torch", "jax", "floor"}
    assert ways == wanted - set(pixels["left_out"])
    assert "| density, 16 kernels, 3 channels | uint16 |" in smoke[1]
    assert "| first call, seconds | least | most |" in smoke[1]


@pytest.mark.parametrize(
    ("part", "way", "package"),
    [
        *(("in_memory", way, way) for way in ("jax", "blosc2", "sklearn", "torch")),
        ("in_memory", "gather", "numba"),
        *(("pixels", way, way) for way in ("jax", "blosc2", "sklearn", "torch")),
        *(("zarr_to_zarr", way, way) for way in ("zarrs", "tensorstore")),
    ],
)
def test_a_missing_package_is_said(smoke: tuple[Path, str], part: str, way: str, package: str) -> None:
    """A way whose package is there runs; one without is left out, and the report says so."""
    found = results(smoke)[part]
    if find_spec(package):
        rows = found["rows" if part == "pixels" else "ways"]
        assert any(row.get("way") == way or row["label"].endswith(f", {way}") for row in rows)
    else:
        assert package in found["left_out"][way]
        assert f"left out: {way}, which needs {package}" in smoke[1]


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way whose compiler is nowhere is left out."""
    monkeypatch.setenv("PATH", "")
    assert Way("C", lambda image, _: lambda: image, ("numpy",), ("cc",)).missing == ["cc"]


def test_other_writers_write_the_same(smoke: tuple[Path, str]) -> None:
    """What other writers copy equals what ours does, in the same chunks and with the same codecs."""
    found = results(smoke)["zarr_to_zarr"]
    names = {"zarr-python", "zarrs", "tensorstore", "tensorstore, not flushed"} - set(found["left_out"])
    assert found["same"] == dict.fromkeys(names, True)


def test_everything_is_measured(smoke: tuple[Path, str]) -> None:
    """Times, ratios, peak memory, Zarr to Zarr, scaling and the chart are there."""
    found = results(smoke)
    cold = next(way for way in found["in_memory"]["ways"] if way["way"] == "table-cold")
    assert min(cold[key] for key in ("ns_per_pixel", "ratio_to_ours", "peak_mib")) > 0
    assert {way["ns_per_pixel"] > 0 for way in found["zarr_to_zarr"]["ways"]} == {True}
    assert [size["megapixels"] for size in found["zarr_to_zarr"]["scaling"]] == [0.25]
    assert (smoke[0] / "compare.png").stat().st_size > 0
    assert "its figures mean nothing" in smoke[1]


def test_parity() -> None:
    """Fits of every covariance type answer as in scikit-learn, which alone is wrong on uint8."""
    command = [sys.executable, str(PARITY), "--step", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *table, uncast = done.stdout.splitlines()
    rows = [line.strip("| ").split(" | ") for line in table[2:]]
    assert {row[0] for row in rows} == {"full", "tied", "diag", "spherical"}
    assert [row[1] for row in rows] == ["uint8", "float"] * 4
    for row in rows:
        assert max(map(float, row[2:6])) < 1e-10, row
        assert float(row[6].rstrip("%")) > 99.99, row
    theirs, ours = zip(*(part.split()[1::2] for part in uncast.split(": ")[1].split(", ")), strict=True)
    assert min(map(float, theirs)) > 0.1
    assert max(map(float, ours)) < 1e-10


def measured_on_a_cluster(*arguments: str) -> list[list[str]]:
    """Measure runs on a local cluster, and give the rows of the table that is printed."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(CLUSTER), *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_workers_are_compared(tmp_path: Path) -> None:
    """Runs and copies of two kinds of pixels are timed on one worker and on two."""
    rows = measured_on_a_cluster(
        *("scaling", "--megapixels", "0.25", "--rounds", "1", "--directory", str(tmp_path))
    )
    assert [row[0] for row in rows] == ["uint8"] * 4 + ["float32"] * 4
    assert min(float(figure) for row in rows for figure in row[2:]) >= 0


def test_the_cost_of_a_block_is_measured() -> None:
    """Empty tasks and small blocks are timed on threads and on a cluster."""
    rows = measured_on_a_cluster("overhead", "--blocks", "4", "--rounds", "1", "--workers", "1")
    assert [row[0] for row in rows] == ["nothing", "16 x 16 pixels"]
    assert min(float(figure) for row in rows for figure in row[1:3]) > 0


def test_the_memory_of_a_cluster_is_measured(tmp_path: Path) -> None:
    """The memory of scheduler, workers and client is written and drawn for two runs."""
    small = ("--blocks", "20", "--real-blocks", "4", "--every", "0.05", "--workers", "1")
    rows = measured_on_a_cluster("memory", *small, "--output", str(tmp_path))
    assert [row[1] for row in rows] == ["scheduler", "largest worker", "client"] * 2
    found = json.loads((tmp_path / "cluster_memory.json").read_text(encoding="utf-8"))
    assert [series["blocks"][-1] for series in found["runs"].values()] == [20, 4]
    assert min(min(series["scheduler"]) for series in found["runs"].values()) > 10
    assert (tmp_path / "cluster_memory.png").stat().st_size > 0


def test_a_check_finds_what_is_worse() -> None:
    """Against recorded ratios, what is 1.5 times worse is named, and noise isn't."""

    def results(**ratios: float) -> dict[str, Any]:
        ways = [{"way": name, "label": name, "ratio_to_ours": ratio} for name, ratio in ratios.items()]
        return {"in_memory": {"ways": ways}}

    recorded = results(jax=3.0, copy=0.2, ours=50.0)
    assert regressions(results(jax=2.1, copy=0.3, ours=70.0), recorded) == []
    assert regressions(results(jax=1.9, new=1.0), recorded) == ["jax: the ratio was 3, and is now 1.9"]
    assert regressions(results(ours=80.0), recorded) == ["ours: the ratio was 50, and is now 80"]
    row = {"table": "density", "case": "uint16", "way": "floor", "label": "C", "ratio_to_ours": 0.9}
    found = regressions(
        {"pixels": {"rows": [{**row, "ratio_to_ours": 0.5}, {**row, "case": "uint8"}]}},
        {"pixels": {"rows": [row]}},
    )
    assert found == ["C, density, uint16: the ratio was 0.9, and is now 0.5"]
