"""Write the lowest versions that pyproject.toml allows as constraints of pip, one a line.

A bound must be a version that was released, because pip takes it literally.
"""

# ruff: noqa: INP001  a script, and no module of a package

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Write a line for each requirement of the package and its tests that has a bound."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested = [extras[name] for name in extras if name not in {"bench", "notebook"}]
    for requirement in [*project["dependencies"], *itertools.chain(*tested)]:
        bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)(?:,<[\w.]+)?", requirement)
        if bound:
            sys.stdout.write(f"{bound[1]}=={bound[2]}\n")


if __name__ == "__main__":
    main()
