"""What a benchmark knows of a way to the density."""

from __future__ import annotations

import importlib
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline import Mixture

    Image = NDArray[Any]
    Run = Callable[[], NDArray[Any]]


class Way(NamedTuple):
    """A way, what it needs, and the images and mixtures that it is measured on."""

    label: str
    # Makes a run of an image and a mixture.
    prepare: Callable[[Image, Mixture], Run]
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    # The side of the crop that it runs on in compare.py (0: the whole image).
    crop: int = 0
    # The divisor of the image that it runs on in pixels.py.
    share: int = 1
    # The largest mixtures that it can do, or does in time.
    most_kernels: int = 256
    most_channels: int = 64
    # The number of lights of the photo in compare.py: more lights give more colors.
    lights: int = 1

    @property
    def missing(self) -> list[str]:
        """The packages and programs that aren't installed."""
        return [name for name in self.packages if find_spec(name) is None] + [
            name for name in self.programs if shutil.which(name) is None
        ]

    def load(self) -> None:
        """Import the packages, so that neither time nor memory of that is counted."""
        for name in self.packages:
            importlib.import_module(name)

    def suits(self, mixture: Mixture) -> bool:
        """Say whether it can do a mixture."""
        return mixture.n_kernels <= self.most_kernels and mixture.n_channels <= self.most_channels
