"""The results of compare.py as a table, as the targets that they meet or miss, and as a bar chart."""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_OURS = "table"
# A ratio that is so many times worse than recorded fails a check.
_WORSE = 1.5
_OURS_COLOR, _OTHER_COLOR = "#d1495b", "#8d99ae"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _row(way: dict[str, Any]) -> str:
    memory, error = way.get("peak_mib"), way.get("largest_relative_error")
    label = way["label"] + (" *" if way["extrapolated"] else "")
    return (
        f"{label:<42}{_figure(way['ns_per_pixel']):>12}{_figure(way['ratio_to_ours']):>15}"
        f"{'' if memory is None else format(memory, ',.0f'):>12}"
        f"{'' if error is None else format(error, '.0e'):>10}"
    )


def print_report(results: dict[str, Any]) -> None:
    """Print everything that was measured."""
    machine, memory = results["machine"], results["in_memory"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}")
    print(f"Python {machine['python']}, {versions}")
    print(
        f"\nIn memory, one thread, photo of {memory['side']} x {memory['side']} pixels of 3 x 8 bits with "
        f"{memory['colors']:,} colors, 16 kernels; * measured on a crop\n"
    )
    print(f"{'way':<42}{'ns per pixel':>12}{'ratio to ours':>15}{'peak MiB':>12}{'error':>10}")
    for way in memory["ways"]:
        print(_row(way))
    for way, missing in memory["left_out"].items():
        print(f"left out: {way}, which needs {', '.join(missing)}")
    if zarr := results.get("zarr_to_zarr"):
        _print_zarr(zarr)
    if results["smoke"]:
        print("\na smoke run: its figures mean nothing")
        return
    print()
    for target in targets(results):
        print(f"{'holds ' if target['holds'] else 'MISSED'}  {target['text']}: {_figure(target['found'])}")


def _print_zarr(zarr: dict[str, Any]) -> None:
    print(
        f"\nZarr to Zarr, {zarr['threads']} threads, {zarr['side']} x {zarr['side']} pixels; the output's "
        "creation and end counted; * measured on a smaller image\n"
    )
    print(f"{'way':<42}{'ns per pixel':>12}{'ratio to ours':>15}{'ours':>12}{'bytes':>10}")
    for way in zarr["ways"]:
        label = way["label"] + (" *" if way["extrapolated"] else "")
        print(
            f"{label:<42}{_figure(way['ns_per_pixel']):>12}{_figure(way['ratio_to_ours']):>15}"
            f"{_figure(way['other_ns_per_pixel']):>12}{way['bytes_per_pixel']:>10.2f}"
        )
    print(f"\n{'ours, megapixels':<42}{'ns per pixel':>12}{'first run':>15}{'blocks':>12}")
    for size in zarr["scaling"]:
        print(
            f"{size['megapixels']:<42,.4g}{size['ns_per_pixel']:>12.2f}"
            f"{size['first_ns_per_pixel']:>15.2f}{size['blocks']:>12}"
        )


def targets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the ratios with what was promised."""
    ways = {way["way"]: way for way in results["in_memory"]["ways"]}
    found = []

    def least(text: str, value: float | None, limit: float) -> None:
        if value is not None:
            found.append({"text": f"{text}, at least {limit:g}", "found": value, "holds": value >= limit})

    def most(text: str, value: float | None, limit: float) -> None:
        if value is not None:
            found.append({"text": f"{text}, at most {limit:g}", "found": value, "holds": value <= limit})

    def ratio(name: str) -> float | None:
        return ways[name]["ratio_to_ours"] if name in ways else None

    least("times the broadcast NumPy answer", ratio("broadcast"), 300)
    least("times scikit-learn", ratio("sklearn"), 150)
    least("times JAX, its splitting counted", ratio("jax"), 4)
    least("times JAX, planes given", ratio("jax-planes"), 4)
    gather = ratio("numba")
    most("times the fused gather's cost", gather and 1 / gather, 1.3)
    # Each was paired with ours, which cancels what else the machine did meanwhile.
    cold = ways["numexpr"]["ratio_to_ours"] / ways["table-cold"]["ratio_to_ours"]
    least("times plain numexpr, first call", cold, 6)
    if zarr := results.get("zarr_to_zarr"):
        by_label = {way["label"]: way for way in zarr["ways"]}
        by_hand = by_label["NumPy answer through Dask by hand"]["ratio_to_ours"]
        copy = by_label["one channel copied as float32"]["ratio_to_ours"]
        most("Zarr to Zarr, times copying one channel as float32", 1 / copy, 1.15)
        least("Zarr to Zarr, times NumPy through Dask", by_hand, 50)
        kernels = zarr["many_kernels"]
        most(f"Zarr to Zarr, {kernels['label']}", kernels["ratio_to_ours"], 1.1)
        sizes = [size["ns_per_pixel"] for size in zarr["scaling"]]
        if sizes:
            most("a pixel of the largest image, beside the smallest", sizes[-1] / sizes[0], 1.1)
    return found


def regressions(results: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """List the ways beside which ours is more than 1.5 times worse than recorded.

    A ratio is a way's time divided by ours, run by turns, so that it holds on other machines.
    """
    found = []
    for part, key in (("in_memory", "way"), ("zarr_to_zarr", "label")):
        before = {way[key]: way["ratio_to_ours"] for way in recorded.get(part, {}).get("ways", [])}
        for way in results.get(part, {}).get("ways", []):
            was, now = before.get(way[key]), way["ratio_to_ours"]
            # Another way of ours gets worse as its own ratio grows.
            is_ours = way["label"].startswith("ours")
            if was is not None and (now / was if is_ours else was / now) > _WORSE:
                found.append(f"{way['label']}: the ratio was {_figure(was)}, and is now {_figure(now)}")
    return found


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one bar a way, on a logarithmic scale."""
    if find_spec("matplotlib") is None:
        print("no chart: matplotlib is missing")
        return
    from matplotlib.figure import Figure  # noqa: PLC0415  may be missing

    ways = sorted(results["in_memory"]["ways"], key=lambda way: -way["ns_per_pixel"])
    labels = [way["label"] + ("*" if way["extrapolated"] else "") for way in ways]
    times = [way["ns_per_pixel"] for way in ways]
    colors = [_OURS_COLOR if way["label"].startswith("ours") else _OTHER_COLOR for way in ways]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(labels, times, color=colors)
    axes.bar_label(bars, labels=[_figure(time) for time in times], padding=4)
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 6)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("nanoseconds per pixel, logarithmic; *measured on a crop")
    side = results["in_memory"]["side"]
    axes.set_title(
        f"Density of 16 Gaussians, 8-bit photo of {side} x {side} pixels\n"
        f"{results['machine']['processor']}, one thread"
    )
    figure.savefig(path, dpi=150)
