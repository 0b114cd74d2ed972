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


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}".replace("e-0", "e-")


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    for cells in (head, ["---"] * len(head), *rows):
        print("|", " | ".join(cells), "|")


def _print_left_out(left_out: dict[str, list[str]]) -> None:
    print()
    for way, missing in left_out.items():
        print(f"left out: {way}, which needs {', '.join(missing)}")


def print_machine(machine: dict[str, Any]) -> None:
    """Print the processor, the system and the versions."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}")
    print(f"Python {machine['python']}, {versions}")


def print_report(results: dict[str, Any]) -> None:
    """Print everything that was measured."""
    print_machine(results["machine"])
    _print_in_memory(results["in_memory"])
    if pixels := results.get("pixels"):
        print_pixels(pixels)
    if zarr := results.get("zarr_to_zarr"):
        _print_zarr(zarr)
    if results["smoke"]:
        print("\na smoke run: its figures mean nothing")
        return
    print()
    for target in targets(results):
        print(f"{'holds ' if target['holds'] else 'MISSED'}  {target['text']}: {_figure(target['found'])}")


def _print_in_memory(memory: dict[str, Any]) -> None:
    print(
        f"\nIn memory, one thread, photo of {memory['side']} x {memory['side']} pixels of 3 x 8 bits with "
        f"{memory['colors']:,} colors, or {memory['many']:,} where a million is said; 16 kernels; * measured "
        "on a crop\n"
    )
    rows = []
    for way in memory["ways"]:
        label = way["label"] + (" *" if way["extrapolated"] else "")
        peak = way.get("peak_mib")
        figures = [_figure(way["ns_per_pixel"]), _figure(way["ratio_to_ours"])]
        figures += ["" if peak is None else format(peak, ",.0f"), _error(way["largest_relative_error"])]
        rows.append([label, *figures, format(way["first_seconds"], ".2f")])
    print_table(["way", "ns per pixel", "ratio to ours", "peak MiB", "error", "first call, s"], rows)
    _print_left_out(memory["left_out"])


def print_pixels(pixels: dict[str, Any]) -> None:
    """Print a table of times and errors for each kind of columns, and one of first calls."""
    rows = pixels["rows"]
    print(
        "\nEvery pixel computed, one thread, nanoseconds per pixel and in brackets the largest relative "
        f"error; images of at most {pixels['side']} x {pixels['side']} pixels"
    )
    for table in dict.fromkeys(row["table"] for row in rows):
        found = [row for row in rows if row["table"] == table]
        titles = list(dict.fromkeys(row["case"] for row in found))
        cells: dict[str, dict[str, str]] = {}
        for row in found:
            error = _error(row["largest_relative_error"])
            cell = _figure(row["ns_per_pixel"]) + (f" ({error})" if error else "")
            cells.setdefault(row["label"], {})[row["case"]] = cell
        print()
        print_table(
            [table, *titles], [[label, *(made.get(t, "-") for t in titles)] for label, made in cells.items()]
        )
    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(row["label"], []).append(row["first_seconds"])
    print("\nWhat is compiled is compiled in the first call with a mixture, which isn't counted above\n")
    print_table(
        ["first call, seconds", "least", "most"],
        [[label, f"{min(taken):.2f}", f"{max(taken):.2f}"] for label, taken in seconds.items()],
    )
    _print_left_out(pixels["left_out"])


def _print_zarr(zarr: dict[str, Any]) -> None:
    print(
        f"\nZarr to Zarr, {zarr['threads']} threads, {zarr['side']} x {zarr['side']} pixels; the output's "
        "creation and end counted; * measured on a smaller image\n"
    )
    rows = []
    for way in zarr["ways"]:
        label = way["label"] + (" *" if way["extrapolated"] else "")
        figures = (way["ns_per_pixel"], way["ratio_to_ours"], way["other_ns_per_pixel"])
        rows.append([label, *map(_figure, figures), f"{way['bytes_per_pixel']:.2f}"])
    print_table(["way", "ns per pixel", "ratio to ours", "ours", "bytes per pixel"], rows)
    _print_left_out(zarr["left_out"])
    print()
    rows = []
    for size in zarr["scaling"]:
        times = [f"{size[key]:.2f}" for key in ("ns_per_pixel", "first_ns_per_pixel")]
        rows.append([f"{size['megapixels']:,.4g}", *times, str(size["blocks"])])
    print_table(["ours, megapixels", "ns per pixel", "first run", "blocks"], rows)


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
    least("times JAX, from the image", ratio("jax"), 4)
    least("times JAX, planes given", ratio("jax-planes"), 4)
    gather = ratio("gather")
    most("times the fused gather's cost", gather and 1 / gather, 1.3)
    gather, table = ratio("gather-million"), ratio("table-million")
    most("times the fused gather's cost, a million colors", gather and table and table / gather, 1.3)
    # Each was paired with ours, which cancels what else the machine did meanwhile.
    cold = ways["numexpr"]["ratio_to_ours"] / ways["table-cold"]["ratio_to_ours"]
    least("times plain numexpr, first call", cold, 6)
    if zarr := results.get("zarr_to_zarr"):
        by_label = {way["label"]: way for way in zarr["ways"]}
        by_hand = by_label["NumPy answer through Dask by hand"]["ratio_to_ours"]
        copy = by_label["one channel copied as float32"]["ratio_to_ours"]
        most("Zarr to Zarr, times copying one channel as float32", 1 / copy, 1.15)
        fastest = min(by_label[label]["ratio_to_ours"] for label in zarr["copies"])
        most("Zarr to Zarr, times that copy through the fastest writer", 1 / fastest, 1.15)
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
    parts = (
        ("in_memory", "ways", ("way",)),
        ("pixels", "rows", ("table", "case", "way")),
        ("zarr_to_zarr", "ways", ("label",)),
    )
    for part, rows, keys in parts:
        before = {
            tuple(way[key] for key in keys): way["ratio_to_ours"]
            for way in recorded.get(part, {}).get(rows, [])
        }
        for way in results.get(part, {}).get(rows, []):
            was, now = before.get(tuple(way[key] for key in keys)), way["ratio_to_ours"]
            # Another way of ours gets worse as its own ratio grows.
            is_ours = way["label"].startswith("ours")
            if was is not None and (now / was if is_ours else was / now) > _WORSE:
                label = ", ".join([way["label"], *(way[key] for key in keys if key in {"table", "case"})])
                found.append(f"{label}: the ratio was {_figure(was)}, and is now {_figure(now)}")
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
    figure = Figure(figsize=(9, 7), layout="constrained")
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
