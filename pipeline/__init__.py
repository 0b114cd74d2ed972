"""Gaussian mixtures over the pixels of images too big for memory."""

from pipeline.lazy import compute_densities, evaluate, open_result
from pipeline.mixture import Kernel, Mixture, list_models, load_model
from pipeline.quantity import Density, LogDensity, LogRatio
from pipeline.run import Receipt, stream
from pipeline.sources import open_image

__all__ = [
    "Density",
    "Kernel",
    "LogDensity",
    "LogRatio",
    "Mixture",
    "Receipt",
    "compute_densities",
    "evaluate",
    "list_models",
    "load_model",
    "open_image",
    "open_result",
    "stream",
]
