"""Measure how far scikit-learn's answers and this package's are apart, for the same fitted mixtures.

python tests/benchmarks/parity.py
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.mixture import GaussianMixture

from pipeline import Label, LogDensity, Mixture, Posterior, evaluate
from pipeline.demo import load_photo

KERNELS = 8
FITTED = 4000
# Of smaller probabilities a relative difference says little: it is that of a large logarithm.
SMALLEST = 1e-9


def differences(got: np.ndarray, wanted: np.ndarray) -> str:
    """Give the largest absolute and the largest relative difference."""
    apart = np.abs(got - wanted)
    counted = np.abs(wanted) >= SMALLEST
    return f"{apart.max():.0e} | {(apart[counted] / np.abs(wanted[counted])).max():.0e}"


def row(model: GaussianMixture, pixels: np.ndarray) -> str:
    """Compare all answers on the same pixels, which scikit-learn is given as float64."""
    mixture, floats = Mixture.from_sklearn(model), pixels.astype(np.float64)
    log_densities = evaluate(pixels, LogDensity(mixture), dtype="float64")
    posteriors = evaluate(pixels, Posterior(mixture), dtype="float64")
    labels = evaluate(pixels, Label(mixture))
    return (
        f"{differences(log_densities, model.score_samples(floats))} | "
        f"{differences(posteriors, model.predict_proba(floats))} | "
        f"{np.mean(labels == model.predict(floats)):.4%}"
    )


def uncast(model: GaussianMixture, pixels: np.ndarray) -> tuple[float, float]:
    """Give the largest error in nats on 8-bit pixels as they are, scikit-learn's and this package's."""
    right = model.score_samples(pixels.astype(np.float64))
    with np.errstate(invalid="ignore"):  # squares that don't fit a byte
        theirs = model.score_samples(pixels)
    ours = evaluate(pixels, LogDensity(Mixture.from_sklearn(model)), dtype="float64")
    return float(np.abs(theirs - right).max()), float(np.abs(ours - right).max())


def main() -> None:
    """Fit a mixture of each covariance type to a photo's colours, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="compare every so many pixels")
    step = parser.parse_args().step
    random = np.random.default_rng(0)
    photo = load_photo().reshape(-1, 3)
    inputs = {"uint8": photo, "float": photo + random.uniform(-0.5, 0.5, photo.shape)}
    lines = [
        "| covariance | pixels | log-density | relative | posterior | relative | equal labels |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    raw = []
    for kind in ("full", "tied", "diag", "spherical"):
        for name, pixels in inputs.items():
            model = GaussianMixture(KERNELS, covariance_type=kind, max_iter=1000, random_state=0)
            model.fit(random.permutation(pixels)[:FITTED].astype(np.float64))
            lines.append(f"| {kind} | {name} | {row(model, pixels[::step])} |")
            if name == "uint8":
                theirs, ours = uncast(model, pixels[::step])
                raw.append(f"{kind} {theirs:.1f} and {ours:.0e}")
    print("\n".join(lines))  # noqa: T201  a benchmark's output
    print(  # noqa: T201  the same
        "log-densities of uint8 that isn't cast, off by up to so many nats in scikit-learn and here: "
        f"{', '.join(raw)}"
    )


if __name__ == "__main__":
    main()
