"""Fitting: a mixture of the highest likelihood for the colors of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compute.em import Schedule
from pipeline.compute.histogram import Histogram
from pipeline.images.opening import AUTO, open_image
from pipeline.runs.counting import count_colors
from pipeline.runs.method import Method

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.compute.moments import CovarianceType
    from pipeline.images.opening import ImageLike, NoDataLike
    from pipeline.models.mixture import Mixture
    from pipeline.runs.method import Kernels
    from pipeline.runs.progress import Listener


def fit_mixture(
    image: ImageLike | Histogram,
    n_kernels: Kernels,
    *,
    channel_axis: int | None = -1,
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
    covariance_type: CovarianceType = "diag",
    start: Mixture | None = None,
    n_starts: int = 4,
    tolerance: float = 1e-4,
    max_iterations: int = 300,
    variance_floor: float | None = None,
    seed: int = 0,
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Mixture:
    """Fit a Gaussian mixture to the colors of an image of any size.

    The image is read once, to count its colors. The fit takes the colors with their counts, which say all
    about a mixture's likelihood; it takes a sample where the histogram is one: see :class:`Histogram`.

    Parameters
    ----------
    image : path, Image, array, or Histogram
        As for :func:`open_image`, or a histogram that :func:`count_colors` returned.
    n_kernels : int, iterable of int, or "bic"
        The number of kernels. Of several numbers, the one with the lowest Bayesian information criterion is
        taken; ``"bic"`` stands for 1 to 16. Numbers above the number of colors are then left out. Every pixel
        counts as an independent observation there, so that a large image nearly always takes the largest
        number.
    channel_axis, mask, no_data
        As for :func:`open_image`. Pixels without data don't count, nor do those with a channel that isn't
        finite. A histogram has counted its pixels already, and takes neither a mask nor a no-data value.
    covariance_type : str
        ``"diag"``: each kernel has its own variance for each channel. ``"full"``: each has its own covariance
        matrix. ``"spherical"``: each has one variance. ``"tied"``: all have the same covariance matrix.
    start : Mixture, optional
        The mixture to begin with, whose number of kernels is `n_kernels`, with the channels of the image.
        Variances below the least variance are raised to it. By default the best of several that k-means
        makes.
    n_starts : int
        How many first mixtures are tried.
    tolerance : float
        The fit ends when a step raises the mean log-likelihood by less than this, in nats for a pixel.
    max_iterations : int
        The largest number of steps.
    variance_floor : float, optional
        The least variance of a kernel in any direction, in squared units of the pixels. By default 1/12 for
        integers, which is the variance that rounding adds, and for floating point pixels a millionth of the
        smallest variance of a channel.
    seed : int
        The same seed gives the same mixture, whatever the blocks and the workers are.
    progress, client
        As for :func:`stream`.

    Returns
    -------
    Mixture
        Its weights sum to 1, and its kernels are sorted by weight, the heaviest first. Its attribute ``fit``
        holds the log-likelihood, BIC, AIC, and how the mixture came about.

    Raises
    ------
    FileNotFoundError, TypeError, OSError
        If the image can't be read, see :func:`open_image`.
    ValueError
        If no pixel has data, if there are fewer colors than kernels, if the pixels are too large or the
        kernels too flat for float64, or if an argument can't have its value.

    Notes
    -----
    Expectation maximization (Dempster, Laird and Rubin 1977) never lowers the likelihood, and ends at a local
    maximum. Kernels that have become responsible for no pixel are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from pipeline import fit_mixture
    >>> image = np.random.default_rng(0).normal(100, 5, (50, 40, 3))
    >>> mixture = fit_mixture(image, 1, progress="none")
    >>> bool(abs(mixture.means - 100).max() < 1)
    True
    """
    method = Method.checked(
        n_kernels, covariance_type, start, Schedule(n_starts, tolerance, max_iterations), variance_floor
    )
    if isinstance(image, Histogram):
        if not (isinstance(mask, str) and mask == AUTO and isinstance(no_data, str) and no_data == AUTO):
            raise ValueError(
                "got a histogram with a mask or a no-data value, which its pixels were counted without. Pass "
                "them to count_colors."
            )
        histogram = image
    else:
        opened = open_image(image, channel_axis=channel_axis, mask=mask, no_data=no_data)
        histogram = count_colors(opened, seed=seed, progress=progress, client=client)
    return method.fit(histogram, histogram.image, seed, progress)
