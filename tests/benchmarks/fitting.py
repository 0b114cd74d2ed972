"""Time the count of an image's colors and the fit of a mixture, beside a copy of the image and scikit-learn.

The image is a real photo, tiled under several lights, as a Zarr array. The copy writes one of its channels as
float32 through this package's own writer. scikit-learn fits a sample of its pixels; both mixtures are then
scored on all pixels.

PYTHONPATH=tests python tests/benchmarks/fitting.py
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from images import make_source
from sklearn.mixture import GaussianMixture
from writers import copy_floats

from pipeline import Histogram, LogDensity, Mixture, count_colors, evaluate, fit_mixture
from pipeline.runs.peak import high_water


def mean_log_likelihood(mixture: Mixture, histogram: Histogram) -> float:
    """Score a mixture on all pixels."""
    densities = evaluate(histogram.colors, LogDensity(mixture), dtype="float64")
    return float(densities @ histogram.counts / histogram.counts.sum())


def main() -> None:
    """Print times, log-likelihoods and the peak memory of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=1000)
    parser.add_argument("--lights", type=int, default=64, help="that the photo is tiled under")
    parser.add_argument("--kernels", type=int, default=16)
    parser.add_argument("--sample", type=int, default=4_000_000, help="pixels that scikit-learn fits")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        source = make_source(Path(folder, "source.zarr"), options.megapixels, lights=options.lights)
        started = time.perf_counter()
        copy_floats(source, Path(folder, "copy.zarr"))
        copied = time.perf_counter() - started
        shutil.rmtree(Path(folder, "copy.zarr"))
        n_pixels = source.shape[0] * source.shape[1]
        print(f"copy of one channel: {copied:.1f} s, {n_pixels / 1e6:.0f} megapixels")
        before = high_water()
        started = time.perf_counter()
        histogram = count_colors(source, progress="none")
        counted = time.perf_counter() - started
        print(f"count: {counted:.1f} s, {histogram.n_colors} colors")
        started = time.perf_counter()
        mixture = fit_mixture(histogram, options.kernels, progress="none")
        fitted = time.perf_counter() - started
        print(f"fit of {options.kernels} kernels: {fitted:.1f} s, {mixture.fit}")
        print(f"count and fit {counted + fitted:.1f} s; 3 copies and 60 s are {3 * copied + 60:.1f} s")
        print(f"peak resident memory {high_water() / 2**30:.2f} GiB, {before / 2**30:.2f} before the count")
    random = np.random.default_rng(0)
    shares = histogram.counts / histogram.counts.sum()
    sample = histogram.colors[random.choice(histogram.n_colors, options.sample, p=shares)].astype(float)
    started = time.perf_counter()
    model = GaussianMixture(
        options.kernels, covariance_type="diag", reg_covar=1 / 12, max_iter=300, random_state=0
    ).fit(sample)
    seconds = time.perf_counter() - started
    theirs = mean_log_likelihood(Mixture.from_sklearn(model), histogram)
    ours = mean_log_likelihood(mixture, histogram)
    print(f"scikit-learn, {options.sample} pixels: {seconds:.1f} s, {model.n_iter_} steps")
    print(f"mean log-likelihood on all pixels: {ours:.4f} ours, {theirs:.4f} scikit-learn's")


if __name__ == "__main__":
    main()
