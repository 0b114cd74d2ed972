"""Kernels, mixtures, quantities, encodings and outputs: data that know nothing of pixels, files or Dask."""
