"""JSON files of mixtures and of classes: writing in one step, and reading with errors that name the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Made = TypeVar("Made")

_VERSION = 1


class Schema(NamedTuple):
    """A kind of content.

    Attributes
    ----------
    format : str
        The name of the format, which the content holds.
    noun : str
        The name of the content, for use in a message.
    load : str
        The function that reads such a file.
    keys : tuple of str
        The keys that the content must have besides its format and version.
    """

    format: str
    noun: str
    load: str
    keys: tuple[str, ...]

    def header(self) -> dict[str, Any]:
        """Return the first items of such content."""
        return {"format": self.format, "version": _VERSION}

    def check(self, content: dict[str, Any]) -> None:
        """Raise ValueError unless the content is of this format and version, and has all keys."""
        found = content.get("format")
        for other in SCHEMAS:
            if other is not self and other.format == found:
                raise ValueError(
                    f"got the JSON of {other.noun}; wanted that of {self.noun}. Use {other.load}."
                )
        if found != self.format:
            raise ValueError(f'not {self.noun}: wanted a JSON object with "format": "{self.format}"')
        if content.get("version") != _VERSION:
            raise ValueError(
                f"got schema version {content.get('version')!r} of {self.noun}, and this release reads "
                f"version {_VERSION}. Upgrade mixture-pipeline, or save the file again."
            )
        missing = set(self.keys) - content.keys()
        if missing:
            raise ValueError(
                f"the JSON of {self.noun} lacks {', '.join(sorted(missing))}; wanted {', '.join(self.keys)}"
            )


MIXTURE = Schema("gaussian-mixture", "a mixture", "Mixture.load", ("weights", "means", "covariances"))
CLASSES = Schema("gaussian-mixture-classes", "classes", "Classes.load", ("classes", "priors"))
SCHEMAS = (MIXTURE, CLASSES)


def save_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a JSON file in one step, or leave an existing file as it is if writing fails."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load_json(path: str | os.PathLike[str], make: Callable[[dict[str, Any]], Made]) -> Made:
    """Return what a function makes of the content of a JSON file.

    Parameters
    ----------
    path : path-like
        The file.
    make : callable
        It gets the JSON object, or an empty one if the file holds any other JSON.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file isn't JSON, or the function raises a ValueError. The message begins with the path.
    """
    try:
        content = _read(Path(path))
        return make(content if isinstance(content, dict) else {})
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _read(path: Path) -> Any:  # noqa: ANN401  a file may hold any JSON; its maker checks it
    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a finite number")

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except UnicodeDecodeError:
        raise ValueError("not JSON: the file isn't text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("not a model: its JSON is nested too deeply") from None
