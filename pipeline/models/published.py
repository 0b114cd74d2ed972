"""The published models that ship with the package, by name."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.models.classes import Classes
from pipeline.models.json_file import CLASSES, load_json
from pipeline.models.mixture import Mixture

if TYPE_CHECKING:
    from collections.abc import Callable

Made = TypeVar("Made")


def list_models() -> dict[str, str]:
    """Return the names of the published models that ship with the package.

    Returns
    -------
    dict
        The names, which :func:`load_model` accepts, and the publications that the figures come from.
    """
    files = sorted(resources.files(__package__).joinpath("data").iterdir(), key=lambda file: file.name)
    return {Path(file.name).stem: json.loads(file.read_text(encoding="utf-8"))["source"] for file in files}


def load_model(name_or_path: str | os.PathLike[str]) -> Mixture:
    """Load a published model by its name, or any mixture from a JSON file.

    Parameters
    ----------
    name_or_path : str or path-like
        One of the names that :func:`list_models` returns, for example ``"jones-rehg-skin"``, or the path of a
        file that :meth:`Mixture.load` can read.

    Returns
    -------
    Mixture

    Raises
    ------
    FileNotFoundError
        If there is neither a model of this name nor such a file.
    ValueError
        If the file isn't a mixture. The classes in a file are loaded by :meth:`Classes.load`.
    """
    return _load(name_or_path, Mixture.from_dict)


def load_model_or_classes(name_or_path: str | os.PathLike[str]) -> Mixture | Classes:
    """Load whichever a JSON file holds, or a published model by its name.

    Raises
    ------
    FileNotFoundError
        If there is neither a model of this name nor such a file.
    ValueError
        If the file is neither a mixture nor classes.
    """

    def make(content: dict[str, Any]) -> Mixture | Classes:
        holds_classes = content.get("format") == CLASSES.format
        return Classes.from_dict(content) if holds_classes else Mixture.from_dict(content)

    return _load(name_or_path, make)


def _load(name_or_path: str | os.PathLike[str], make: Callable[[dict[str, Any]], Made]) -> Made:
    models = list_models()
    if name_or_path in models:
        with resources.as_file(resources.files(__package__) / "data" / f"{name_or_path}.json") as path:
            return load_json(path, make)
    if not Path(name_or_path).is_file():
        raise FileNotFoundError(
            f"there is no model {os.fspath(name_or_path)!r}; wanted a JSON file or one of {', '.join(models)}"
        )
    return load_json(name_or_path, make)
