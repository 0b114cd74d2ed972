"""The record of a fit: which pixels a mixture was fitted to, how, and how well it describes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pipeline.models.table import html_facts

# The types of JSON's values, by the types of the attributes. A whole number may stand for a float.
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (float, int)}
# A whole number is less than this, but for the seed: larger ones can't be multiplied with floats.
_MOST = 2**63


@dataclass(frozen=True)
class Fit:
    """How a mixture was fitted, and how well it describes the pixels.

    Attributes
    ----------
    image : str
        The path of the image, or "the image" if it has none, or "a histogram".
    n_pixels : int
        The number of pixels with data.
    n_colors : int
        The number of different colors, or of pixels in the sample, to which the mixture was fitted.
    is_exact : bool
        Whether it was fitted to all pixels, and not to a sample.
    covariance_type : str
        "diag", "full", "spherical" or "tied".
    variance_floor : float
        The least variance of a kernel in any direction, in squared units of the pixels.
    n_starts : int
        How many first mixtures were tried; 0 if the caller gave one.
    seed : int
    tolerance : float
        The steps end when one gains less than this, in nats for a pixel.
    n_iterations : int
        The number of steps over all colors.
    is_converged : bool
        Whether the last step gained less than the tolerance.
    n_parameters : int
        The number of free parameters.
    log_likelihood : float
        The mean logarithm of the mixture's density over the pixels, in nats.
    version : str
        The version of this package.
    date : str
        When the fit ended, in UTC, as ISO 8601 writes it.
    """

    image: str
    n_pixels: int
    n_colors: int
    is_exact: bool
    covariance_type: str
    variance_floor: float
    n_starts: int
    seed: int
    tolerance: float
    n_iterations: int
    is_converged: bool
    n_parameters: int
    log_likelihood: float
    version: str
    date: str

    @property
    def bic(self) -> float:
        """The Bayesian information criterion: lower is better (Schwarz 1978)."""
        return self.n_parameters * math.log(self.n_pixels) - 2 * self.n_pixels * self.log_likelihood

    @property
    def aic(self) -> float:
        """Akaike's information criterion: lower is better (Akaike 1974)."""
        return 2 * self.n_parameters - 2 * self.n_pixels * self.log_likelihood

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain strings and numbers, which JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: object) -> Self:
        """Make a record from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError
            If the content isn't the record of a fit.
        """
        # A file may hold any JSON.
        if not isinstance(content, Mapping) or set(content) != {field.name for field in fields(cls)}:
            raise ValueError(f"not the record of a fit: {content!r:.200}")
        for field in fields(cls):
            value = content[field.name]
            wanted = "" if type(value) in _KINDS[str(field.type)] else field.type
            if not wanted and isinstance(value, float) and not math.isfinite(value):
                wanted = "a finite number"
            if not wanted and field.name != "seed" and isinstance(value, int) and abs(value) >= _MOST:
                wanted = "a number less than 2**63"
            if wanted:
                raise ValueError(f"the record of a fit has {field.name} = {value!r:.80}; wanted {wanted}")
        if content["n_pixels"] < 1:
            raise ValueError(f"the record of a fit has n_pixels = {content['n_pixels']}; wanted at least 1")
        return cls(**content)

    def __str__(self) -> str:
        one = "color" if self.n_colors == 1 else "colors"
        colors = f"{self.n_colors} {one}" if self.is_exact else f"a sample of {self.n_colors}"
        steps = "1 step" if self.n_iterations == 1 else f"{self.n_iterations} steps"
        ended = "" if self.is_converged else ", not converged"
        return (
            f"fitted to {colors} of {self.n_pixels} pixels of {self.image}, {steps}{ended}: "
            f"mean log-likelihood {self.log_likelihood:.4f} nats, BIC {self.bic:.6g}, AIC {self.aic:.6g}"
        )

    def _repr_html_(self) -> str:
        steps = f"{self.n_iterations}{'' if self.is_converged else ', not converged'}"
        rows = [
            ("image", self.image),
            ("pixels", str(self.n_pixels)),
            ("colors" if self.is_exact else "colors of a sample", str(self.n_colors)),
            ("covariances", f"{self.covariance_type}, with variances of at least {self.variance_floor:.4g}"),
            ("parameters", str(self.n_parameters)),
            ("steps", steps),
            ("mean log-likelihood", f"{self.log_likelihood:.4f} nats"),
            ("BIC", f"{self.bic:.6g}"),
            ("AIC", f"{self.aic:.6g}"),
            ("seed", str(self.seed)),
            ("fitted", f"{self.date} by version {self.version}"),
        ]
        return html_facts(rows)


def count_parameters(n_kernels: int, n_channels: int, covariance_type: str) -> int:
    """Return the number of free parameters of a mixture.

    Parameters
    ----------
    n_kernels, n_channels : int
    covariance_type : str
        "diag", "full", "spherical" or "tied".

    Returns
    -------
    int
        Of the weights, which sum to 1, of the means, and of the covariances.
    """
    matrix = n_channels * (n_channels + 1) // 2
    covariances = {
        "diag": n_kernels * n_channels,
        "full": n_kernels * matrix,
        "spherical": n_kernels,
        "tied": matrix,
    }
    return n_kernels - 1 + n_kernels * n_channels + covariances[covariance_type]
