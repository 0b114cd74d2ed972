"""Kernels, mixtures, quantities, encodings and outputs: data that know nothing of pixels, files or Dask.

The kinds of quantity are imported here, because importing a kind registers its name for reading records.
"""

from pipeline.models import class_quantities, mixture_quantities

__all__ = ["class_quantities", "mixture_quantities"]
