"""The seam `Engine`: the base class of the ways to compute the outputs of a block of pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.models.output import Output


class Engine(ABC):
    """A way to compute outputs.

    Attributes
    ----------
    name : str
        The name that callers and records use.
    is_reference : bool
        Whether the results have the same bits as those of the engine ``"numexpr"``, the reference.
    compiles : bool
        Whether the first evaluation of a kind of outputs compiles code, which takes seconds.
    """

    name: ClassVar[str]
    is_reference: ClassVar[bool]
    compiles: ClassVar[bool] = False

    @property
    def missing(self) -> str | None:
        """What must be installed for the engine, as a clause that can follow "but"; None if nothing must."""
        return None

    @abstractmethod
    def refusal(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return the reason why an output can't be computed from pixels of a dtype, or None if it can.

        The reason is a clause that can follow "but", for example "3 channels of uint16 have too many colors".
        """

    def obstacle(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return what is missing, or why the output is refused, or None if it can be computed here."""
        return self.missing or self.refusal(output, dtype)

    @abstractmethod
    def seconds(self, output: Output, dtype: np.dtype[Any], n_pixels: int) -> float:
        """Estimate the time in seconds that one thread needs for so many pixels. The output isn't refused."""

    @abstractmethod
    def is_close(self, output: Output) -> bool:
        """Return whether the results are at most one unit in the last place from those of the reference."""

    @abstractmethod
    def process_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory in bytes that a process holds for these outputs, whatever its threads do."""

    @abstractmethod
    def thread_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory in bytes that each thread takes beside its block to evaluate these outputs."""

    @abstractmethod
    def prepare(self) -> None:
        """Import the libraries that evaluation needs, so that no import can fail in the middle of a run."""

    @abstractmethod
    def evaluate(
        self,
        pixels: NDArray[Any],
        outputs: Sequence[Output],
        results: Sequence[NDArray[Any]],
        *,
        serial: bool,
    ) -> list[float]:
        """Compute the outputs at every pixel.

        Parameters
        ----------
        pixels : ndarray, shape (n, width, C)
            Boolean, integer or floating point, of any strides; at least one pixel.
        outputs : sequence of Output
            None of them is refused.
        results : sequence of ndarray, shape (n_results, n, width)
            One for each output, of its dtype, contiguous; they are filled.
        serial : bool
            If True, everything happens in the calling thread, as a task among many needs it.

        Returns
        -------
        list of float
            The largest error of each output whose encoding is lossy, and 0 for the others.
        """
