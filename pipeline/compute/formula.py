"""The base class of formulas: how the results of one kind of quantity are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.models.quantity import Quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.compute.double import Double
    from pipeline.compute.exponent import Exponent
    from pipeline.compute.program import Step

    Groups = tuple[tuple[Exponent, ...], ...]

AnyQuantity = TypeVar("AnyQuantity", bound=Quantity)


class Formula(ABC, Generic[AnyQuantity]):
    """A formula states twice how a quantity is computed from exponents: in float64 and in double-double.

    Parameters
    ----------
    quantity : Quantity
        The quantity to compute.

    Notes
    -----
    Every pixel is computed in float64 by :meth:`steps`. These steps also bound the rounding error of each
    pixel. The pixels whose bound exceeds the tolerated error are computed again:
    :mod:`pipeline.compute.precise` computes the logarithms of :meth:`groups` in double-double arithmetic, and
    :meth:`finish` makes the results from them.
    """

    def __init__(self, quantity: AnyQuantity) -> None:
        self.quantity = quantity

    @abstractmethod
    def groups(self) -> Groups:
        """Return the exponents of each mixture or class, with every factor that the results depend on."""

    def summed(self) -> Groups:
        """Return the exponents of each sum that :meth:`steps` takes; they may lack factors and be merged."""
        return self.groups()

    @abstractmethod
    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps that compute the results in float64.

        Parameters
        ----------
        dtype : dtype
            The dtype of the results. Its finite numbers limit them.
        arithmetic : Arithmetic
            How the sums of exponentials are computed, by default as the reference does.

        Returns
        -------
        list of Step
            Steps that fill ``out0, out1, ...`` from the channel planes ``x0, x1, ...``, and fill ``doubt``
            with a number above 0 where the rounding error may exceed the tolerated one. Without doubtful
            pixels, that step may be missing.
        """

    @abstractmethod
    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> NDArray[np.float64]:
        """Return the results from the logarithms of the groups.

        Parameters
        ----------
        logarithms : Double, shape (n_groups, n)
            For each group the log-sum-exp of its exponents.
        dtype : dtype
            The dtype of the results. Its finite numbers limit them.

        Returns
        -------
        ndarray of float64, shape (n_results, n)
            NaN where a logarithm is NaN.
        """
