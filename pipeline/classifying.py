"""Classifiers: a mixture for each class of labeled pixels, and how well such classes label other pixels."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.counting import TRAINING
from pipeline.compute.em import Schedule
from pipeline.compute.places import N_GROUPS
from pipeline.compute.scoring import Scores
from pipeline.evaluation import evaluate
from pipeline.images.labels import open_labels
from pipeline.images.opening import AUTO, open_image
from pipeline.models.classes import Classes
from pipeline.models.mixture_quantities import LogDensity
from pipeline.runs.counting import count_groups
from pipeline.runs.method import Method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline.compute.histogram import Histogram
    from pipeline.compute.moments import CovarianceType
    from pipeline.images.image import Image
    from pipeline.images.opening import ImageLike, NoDataLike
    from pipeline.models.mixture import Mixture
    from pipeline.runs.method import Kernels
    from pipeline.runs.progress import Listener


def fit_classes(
    image: ImageLike,
    labels: ImageLike,
    n_kernels: Kernels,
    *,
    channel_axis: int | None = -1,
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
    names: Mapping[int, str] | None = None,
    priors: Mapping[str, float] | Sequence[float] | None = None,
    held_out: float = 0.0,
    covariance_type: CovarianceType = "diag",
    n_starts: int = 4,
    tolerance: float = 1e-4,
    max_iterations: int = 300,
    variance_floor: float | None = None,
    seed: int = 0,
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Classes:
    """Fit a mixture to the pixels of each class, in one pass over an image and its labels.

    Parameters
    ----------
    image : path, Image or array
        As for :func:`open_image`.
    labels : path, Image or array of shape (H, W)
        The label of each pixel, a positive integer for each class and 0 for pixels of no class: an image, or
        a small one of the same aspect; or a GeoJSON file of polygons, as QuPath exports them, in pixels of
        `image` as it is passed here: those of a slice begin at its corner. Where polygons overlap, the later
        one in the file has the pixels. The results of a :class:`Label` begin with class 0: add 1 to them.
    n_kernels : int, iterable of int, or "bic"
        The number of kernels of each mixture, see :func:`fit_mixture`.
    channel_axis, mask, no_data
        As for :func:`open_image`.
    names : mapping of int to str, optional
        The names of the labels. By default those of the polygons, and the labels themselves for an image.
        Labels without a name are an error. Labels of the same name are one class.
    priors : mapping of str to float or sequence of float, optional
        The prior probability of each class. By default the share of the labeled pixels that belong to it.
    held_out : float
        The share of the image, from 0 to 0.95 in steps of 0.05, that isn't used, so that
        :func:`score_classes` can use it with the same share and seed. Squares are held out rather than
        pixels, since neighbors resemble one another.
    covariance_type, n_starts, tolerance, max_iterations, variance_floor, seed
        As for :func:`fit_mixture`.
    progress, client
        As for :func:`stream`.

    Returns
    -------
    Classes
        A mapping of names to mixtures, in the order of the labels, with their priors.

    Raises
    ------
    FileNotFoundError, TypeError, OSError
        If the image or the labels can't be read.
    ValueError
        If there is no labeled pixel, a named class has none, a class has fewer colors than kernels, or an
        argument can't have its value.
    """
    method = Method.checked(
        n_kernels, covariance_type, None, Schedule(n_starts, tolerance, max_iterations), variance_floor
    )
    opened = open_image(image, channel_axis=channel_axis, mask=mask, no_data=no_data)
    counted = _count_classes(opened, labels, names, held_out, seed, progress, client)
    training = {name: groups.pop(TRAINING, None) for name, groups in counted.items()}
    for name, histogram in training.items():
        if histogram is None:
            raise ValueError(
                f"the class {name!r} has no pixels with data to fit to. Label some, leave the class out of "
                "names, or hold out less of the image."
            )
    histograms = {name: histogram for name, histogram in training.items() if histogram is not None}
    mixtures = {}
    for name, histogram in histograms.items():
        try:
            mixtures[name] = method.fit(histogram, f"{name} in {opened.name}", seed, progress)
        except ValueError as error:
            raise ValueError(f"class {name!r}: {error}") from None
    if priors is None:
        total = sum(histogram.n_pixels for histogram in histograms.values())
        priors = {name: histogram.n_pixels / total for name, histogram in histograms.items()}
    return Classes(mixtures, priors)


def score_classes(
    classes: Mapping[str, Mixture],
    image: ImageLike,
    labels: ImageLike,
    *,
    channel_axis: int | None = -1,
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
    names: Mapping[int, str] | None = None,
    held_out: float = 1.0,
    seed: int = 0,
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Scores:
    """Score a classifier by the labeled pixels of an image, in one pass.

    Parameters
    ----------
    classes : Classes or mapping of str to Mixture
        The classes and their priors, which are equal for a plain mapping.
    image, labels, channel_axis, mask, no_data, names
        As for :func:`fit_classes`. The names must be those of the classes.
    held_out : float
        The share of the image that is scored: for classes that were fitted to the rest of the same image, the
        share that :func:`fit_classes` held out. By default the whole image.
    seed : int
        The seed of :func:`fit_classes`.
    progress, client
        As for :func:`stream`.

    Returns
    -------
    Scores
        Exact over the scored pixels, or over a sample of each class in each square's group, which stands for
        all of these pixels: see :class:`Histogram`.

    Raises
    ------
    FileNotFoundError, TypeError, OSError
        If the image or the labels can't be read.
    ValueError
        If a class has no pixels, or there is a label that is none of the classes.
    """
    known = classes if isinstance(classes, Classes) else Classes(classes)
    first = next(iter(known.values()))
    opened = open_image(image, channel_axis=channel_axis, mask=mask, no_data=no_data)
    opened = opened.fitted(first.n_channels, known.channels)
    counted = _count_classes(opened, labels, names, held_out, seed, progress, client)
    if unknown := sorted(set(counted) - set(known)):
        raise ValueError(
            f"the labels name {', '.join(map(repr, unknown))}; wanted the classes {', '.join(known)}. Pass "
            "names={label: class}."
        )
    colors, truth, counts, groups = [], [], [], []
    for number, name in enumerate(known):
        for group, histogram in counted.get(name, {}).items():
            if group != TRAINING:
                colors.append(histogram.colors)
                counts.append(_represented(histogram))
                truth.append(np.full(histogram.n_colors, number))
                groups.append(np.full(histogram.n_colors, group))
    if not colors:
        raise ValueError("no labeled pixel of the scored part has data. Score more of the image: held_out=1.")
    # Names of classes may be any text, which those of quantities can't.
    densities = {f"class-{number}": LogDensity(mixture) for number, mixture in enumerate(known.values())}
    values = evaluate(np.concatenate(colors), densities, dtype="float64")
    log_joint = np.stack([values[number] for number in densities], axis=-1) + np.log(known.priors)
    arrays = (np.concatenate(parts) for parts in (truth, counts, groups))
    return Scores.from_samples(tuple(known), known.priors, log_joint, *arrays)


def _count_classes(  # noqa: PLR0917  the arguments of fit_classes, in its order
    image: Image,
    labels: ImageLike,
    names: Mapping[int, str] | None,
    held_out: float,
    seed: int,
    progress: str | Listener,
    client: Client | None,
) -> dict[str, dict[int, Histogram]]:
    """Count the colors of each class by group, in the order of the labels."""
    n_held = round(held_out * N_GROUPS) if 0 <= held_out <= 1 else -1
    if n_held < 0 or not math.isclose(n_held, held_out * N_GROUPS):
        raise ValueError(
            f"held_out is {held_out!r}; wanted a share from 0 to 1, in steps of {1 / N_GROUPS:g}"
        )
    opened = open_labels(labels, image.extent)
    known = opened.names if names is None else _checked_names(names)
    counted = count_groups(image, opened.source, n_held=n_held, seed=seed, progress=progress, client=client)
    classes: dict[str, dict[int, Histogram]] = {name: {} for name in (known or {}).values()}
    for (label, group), histogram in counted.items():
        if label < 0:
            raise ValueError(
                f"the labels hold {label}; wanted positive integers, and 0 where a pixel has no class. "
                f"Replace {label} by 0 or by another number."
            )
        if known is not None and label not in known:
            raise ValueError(
                f"the labels hold {label}, which has no name; wanted {', '.join(map(str, known))}. Name it: "
                f"names={{{label}: ...}}."
            )
        groups = classes.setdefault(str(label) if known is None else known[label], {})
        groups[group] = groups[group].plus(histogram) if group in groups else histogram
    if not counted:
        raise ValueError(
            "no pixel with data has a label other than 0. Label some pixels, and see that polygons are in "
            "pixels of the image."
        )
    return classes


def _checked_names(names: Any) -> dict[int, str]:  # noqa: ANN401  a caller may pass anything
    """Return the names of labels, or raise TypeError before anything is counted."""
    try:
        checked = {operator.index(label): name for label, name in names.items()}
    except (AttributeError, TypeError):
        checked = {0: None}
    if not all(isinstance(name, str) for name in checked.values()):
        raise TypeError(f"names is {names!r:.80}; wanted the name of each label, as {{1: 'tumor'}}")
    return checked


def _represented(histogram: Histogram) -> NDArray[np.int64]:
    """Return how many pixels each color stands for: in all as many as there are, also for a sample."""
    if histogram.priorities is None:
        return histogram.counts
    edges = np.linspace(0, histogram.n_pixels, histogram.n_colors + 1).round()
    return np.diff(edges).astype(np.int64)
