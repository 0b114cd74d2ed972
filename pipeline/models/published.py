"""The published models that ship with the package, by name."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

from pipeline.models.mixture import Mixture


def list_models() -> dict[str, str]:
    """Name the published models that ship with the package.

    Returns
    -------
    dict
        A name that :func:`load_model` takes, and the source of its figures.
    """
    files = sorted(resources.files(__package__).joinpath("data").iterdir(), key=lambda file: file.name)
    return {Path(file.name).stem: json.loads(file.read_text(encoding="utf-8"))["source"] for file in files}


def load_model(name_or_path: str | os.PathLike[str]) -> Mixture:
    """Load a published model by its name, or any mixture from a JSON file.

    Parameters
    ----------
    name_or_path : str or path-like
        ``"jones-rehg-skin"``, ``"jones-rehg-nonskin"`` (see :func:`list_models`), or a path for
        :meth:`Mixture.load`.

    Returns
    -------
    Mixture

    Raises
    ------
    FileNotFoundError
        If it is neither a model's name nor a file.
    ValueError
        If the file isn't a mixture.
    """
    models = list_models()
    if name_or_path in models:
        with resources.as_file(resources.files(__package__) / "data" / f"{name_or_path}.json") as path:
            return Mixture.load(path)
    if not Path(name_or_path).is_file():
        raise FileNotFoundError(
            f"no model {os.fspath(name_or_path)!r}: wanted a JSON file or one of {', '.join(models)}"
        )
    return Mixture.load(name_or_path)
