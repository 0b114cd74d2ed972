"""Gaussian mixtures over the pixels of images too big for memory."""

from pipeline.evaluation import compute_densities, evaluate, open_result
from pipeline.models.mixture import Kernel, Mixture
from pipeline.models.encoding import Packed
from pipeline.runs.plan import Plan, plan, stream
from pipeline.runs.progress import Progress
from pipeline.models.published import list_models, load_model
from pipeline.models.quantity import Density, Label, LogDensity, LogRatio, Posterior
from pipeline.runs.execution import Receipt
from pipeline.images.tiff import open_image
from pipeline.stores.verification import Verification, verify

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
