"""The house: which module may import which."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

PACKAGE = Path(pipeline.__file__).parent
# The table of the house: level, module, responsibility.
TABLE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
LEVELS = {module: int(level) for level, module in re.findall(r"^\| (\d+) \| `(\w+)` \|", TABLE, re.MULTILINE)}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
MAY_IMPORT_DASK = {
    "demo",
    "executors",
    "inputs",
    "lazy",
    "memory",
    "planning",
    "run",
    "sources",
    "verification",
}


def imports(module: str) -> tuple[set[str], set[str]]:
    """Collect what a module imports: everything, and what it imports at module level."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    found: list[set[str]] = []
    for nodes in (list(ast.walk(tree)), tree.body):
        names = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} has a relative import"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        found.append(names)
    return found[0], found[1]


def test_every_module_has_a_level() -> None:
    """A new module must find its place in the house."""
    assert set(MODULES) == set(LEVELS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    """A module imports, even inside functions, only from levels below its own."""
    for name in imports(module)[0]:
        parts = name.split(".")
        if parts[0] == "pipeline":
            assert parts[1] in LEVELS, f"{module} imports {name} from the package itself"
            assert LEVELS[parts[1]] < LEVELS[module], f"{module} imports {name}, which isn't below it"


@pytest.mark.parametrize("module", MODULES)
def test_only_some_modules_import_dask(module: str) -> None:
    """Everything that computes on one block works without Dask."""
    dask = {name for name in imports(module)[1] if name.split(".")[0] in {"dask", "distributed"}}
    assert not dask or module in MAY_IMPORT_DASK


def test_import_is_light() -> None:
    """Importing the package loads no reader, no extra and no cluster."""
    heavy = ["cv2", "tifffile", "imagecodecs", "distributed", "skimage", "sklearn"]
    code = f"import sys, pipeline; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_everything_public_is_documented() -> None:
    """Every public name exists and has a docstring."""
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__doc__, name
