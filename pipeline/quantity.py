"""What is asked of each pixel, as small frozen objects that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from pipeline.mixture import Mixture


@dataclass(frozen=True)
class Density:
    r"""The probability density of a mixture at a pixel's colour.

    Parameters
    ----------
    mixture : Mixture
        K kernels over C channels.
    normalized : bool
        False leaves out the factor :math:`(2\pi)^{-C/2}`, as the densities of some published code do.

    Notes
    -----
    .. math:: p(x) = \sum_k w_k (2\pi)^{-C/2} |S_k|^{-1/2} \exp(-\tfrac12 (x-m_k)^T S_k^{-1} (x-m_k))

    The unit is one over the product of the channels' units. Far from every kernel the value underflows
    to 0.
    """

    mixture: Mixture
    normalized: bool = True

    name: ClassVar[str] = "density"

    @property
    def n_channels(self) -> int:
        """C, the number of channels of a pixel."""
        return self.mixture.n_channels

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The channels' names, or None where the mixture has none."""
        return self.mixture.channels

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Give the dtype of the results: the one asked for, float32 by default.

        Raises
        ------
        ValueError
            If results can't be given in this dtype.
        """
        wanted = np.dtype("float32" if dtype is None else dtype)
        if wanted not in (np.dtype("float32"), np.dtype("float64")):
            raise ValueError(f"dtype {wanted} can't hold a {self.name}; wanted float32 or float64")
        return wanted

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""
        return {"quantity": self.name, "normalized": self.normalized, "mixture": self.mixture.to_dict()}
