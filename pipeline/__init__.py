"""Gaussian mixtures over the pixels of images too big for memory."""

from pipeline.lazy import compute_densities, evaluate, open_result
from pipeline.mixture import Kernel, Mixture
from pipeline.packing import Packed
from pipeline.planning import Plan, plan, stream
from pipeline.progress import Progress
from pipeline.published import list_models, load_model
from pipeline.quantity import Density, Label, LogDensity, LogRatio, Posterior
from pipeline.run import Receipt
from pipeline.sources import open_image
from pipeline.verification import Verification, verify

__all__ = [
    "Density",
    "Kernel",
    "Label",
    "LogDensity",
    "LogRatio",
    "Mixture",
    "Packed",
    "Plan",
    "Posterior",
    "Progress",
    "Receipt",
    "Verification",
    "compute_densities",
    "evaluate",
    "list_models",
    "load_model",
    "open_image",
    "open_result",
    "plan",
    "stream",
    "verify",
]
