"""The benchmarks run; what they measure is nobody's test."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks.report import regressions

COMPARE = Path(__file__).parent / "benchmarks" / "compare.py"
PARITY = COMPARE.with_name("parity.py")
# What float32 results can be off by, and what float32 arithmetic can.
ROUNDED, COMPUTED = 1e-7, 1e-4


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


def test_every_way_is_right(smoke: tuple[Path, str]) -> None:
    """Each way that starts from the image and gives densities equals SciPy's."""
    errors = {way["way"]: way["largest_relative_error"] for way in results(smoke)["in_memory"]["ways"]}
    assert errors.pop("copy") is None
    assert errors.pop("table-lights") is None
    float32 = {name: error for name, error in errors.items() if name.startswith("jax")}
    assert all(error < COMPUTED for error in float32.values()), errors
    assert all(error < ROUNDED for name, error in errors.items() if name not in float32), errors


@pytest.mark.parametrize(
    ("way", "package"), [("jax", "jax"), ("blosc2", "blosc2"), ("numba", "numba"), ("sklearn", "sklearn")]
)
def test_a_missing_package_is_said(smoke: tuple[Path, str], way: str, package: str) -> None:
    """A way whose package is there runs; one without is left out, and the report says so."""
    memory = results(smoke)["in_memory"]
    if find_spec(package):
        assert way in {found["way"] for found in memory["ways"]}
    else:
        assert memory["left_out"][way] == [package]
        assert f"left out: {way}, which needs {package}" in smoke[1]


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
    command = [sys.executable, str(PARITY)]
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


def test_a_check_finds_what_is_worse() -> None:
    """Against recorded ratios, what is 1.5 times worse is named, and noise isn't."""

    def results(**ratios: float) -> dict[str, Any]:
        ways = [{"way": name, "label": name, "ratio_to_ours": ratio} for name, ratio in ratios.items()]
        return {"in_memory": {"ways": ways}}

    recorded = results(jax=3.0, copy=0.2, ours=50.0)
    assert regressions(results(jax=2.1, copy=0.3, ours=70.0), recorded) == []
    assert regressions(results(jax=1.9, new=1.0), recorded) == ["jax: the ratio was 3, and is now 1.9"]
    assert regressions(results(ours=80.0), recorded) == ["ours: the ratio was 50, and is now 80"]


def test_pixels() -> None:
    """Every table has a row for each kind, and every engine a time."""
    command = [sys.executable, str(COMPARE.with_name("pixels.py")), "--side", "512", "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "numexpr" not in row and row[0] != "---"]
    assert len(rows) == 6 + 10 + 7
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in rows)
