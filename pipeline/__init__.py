"""Gaussian mixtures over the pixels of images too big for memory."""

from typing import Any

from pipeline.classifying import fit_classes, score_classes

# First of all, because Dask imports xarray and pandas where they are installed, and pandas imports numexpr.
from pipeline.compute.environment import numexpr as _  # noqa: F401  see above
from pipeline.compute.histogram import Histogram
from pipeline.compute.scoring import Scores
from pipeline.evaluation import compute_densities, evaluate
from pipeline.fitting import fit_mixture
from pipeline.images.image import Image
from pipeline.images.opening import open_image
from pipeline.models import class_quantities, mixture_quantities
from pipeline.models.class_quantities import *  # noqa: F403  a new quantity is exported by its definition
from pipeline.models.classes import Classes
from pipeline.models.distribution import Distribution
from pipeline.models.fit import Fit
from pipeline.models.mixture import Kernel, Mixture
from pipeline.models.mixture_quantities import *  # noqa: F403  a new quantity is exported by its definition
from pipeline.models.packed import Packed
from pipeline.models.published import list_models, load_model
from pipeline.models.summary import Summary, Zone
from pipeline.pictures import plot_mixture, plot_summary
from pipeline.results.export import export
from pipeline.results.preview import preview
from pipeline.results.result import Result, open_result
from pipeline.results.viewer import Viewer, view
from pipeline.runs.counting import count_colors
from pipeline.runs.plan import Plan
from pipeline.runs.progress import Progress
from pipeline.runs.receipt import Receipt
from pipeline.runs.stream import plan, resume, stream
from pipeline.runs.verify import verify
from pipeline.stores.verification import Verification

__all__ = [
    "Classes",
    "Distribution",
    "Fit",
    "Histogram",
    "Image",
    "Kernel",
    "Mixture",
    "Packed",
    "Plan",
    "Progress",
    "Receipt",
    "Result",
    "Scores",
    "Summary",
    "Verification",
    "Viewer",
    "Zone",
    "compute_densities",
    "count_colors",
    "evaluate",
    "export",
    "fit_classes",
    "fit_mixture",
    "list_models",
    "load_model",
    "open_image",
    "open_result",
    "plan",
    "plot_mixture",
    "plot_summary",
    "preview",
    "resume",
    "score_classes",
    "stream",
    "verify",
    "view",
]
__all__ += class_quantities.__all__
__all__ += mixture_quantities.__all__


def __getattr__(name: str) -> Any:  # noqa: ANN401  a module's attribute
    """Return the version when it is asked for, since reading it takes longer than the rest of this module."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  see above

        return version("mixture-pipeline")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
