"""The architecture: which folder may import which, and how large a file and a function may be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

PACKAGE = Path(pipeline.__file__).parent
TESTS = Path(__file__).parent
# A folder, and what it may import of the package besides itself. The front and the contracts import all.
MAY_IMPORT = {
    "models": set(),
    "compute": {"models"},
    "images": set(),
    "stores": {
        "models",
        *("images.grid", "images.description", "images.geometry", "images.no_data"),
        *("images.object_storage", "images.remote", "images.zarr_chunks"),
    },
    "runs": {"models", "compute", "images", "stores"},
    "results": {"models", "images", "stores", "runs.progress"},
}
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
INSIDE = [module for module in MODULES if module.partition("/")[0] in MAY_IMPORT]


def tree_of(module: str) -> ast.Module:
    """Parse a module."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imported(module: str) -> set[str]:
    """Return the modules of the package that a module imports, even inside functions."""
    names = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            # A name may be a module.
            base = node.module or ""
            names |= {base if "." in base.partition(".")[2] else f"{base}.{a.name}" for a in node.names}
    return {name.partition(".")[2] for name in names if name.partition(".")[0] == "pipeline"}


@pytest.mark.parametrize("module", INSIDE)
def test_folders_import_only_what_is_below(module: str) -> None:
    """Arrows between folders point downward, as the table says."""
    folder = module.partition("/")[0]
    for name in imported(module):
        other = name.partition(".")[0]
        allowed = {folder, *MAY_IMPORT[folder]}
        assert other in allowed or any(name.startswith(one) for one in allowed if "." in one), name


def test_folders_are_the_table() -> None:
    """There are no other folders of modules but the contracts."""
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders == {*MAY_IMPORT, "testing"}


@pytest.mark.parametrize("module", INSIDE)
def test_what_computes_and_describes_works_without_dask(module: str) -> None:
    """Models and engines import neither Dask nor Zarr, and models no numexpr."""
    folder = module.partition("/")[0]
    libraries = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    forbidden = {
        "models": {"dask", "zarr", "numexpr", "distributed"},
        "compute": {"dask", "zarr", "distributed"},
    }
    assert not {name.partition(".")[0] for name in libraries} & forbidden.get(folder, set())


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_are_short(module: str) -> None:
    """A file has at most 350 lines, a function 60 without its docstring."""
    source = (PACKAGE / module).read_text(encoding="utf-8")
    assert source.count("\n") <= 350
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            assert (node.end_lineno or 0) - node.lineno + 1 - docstring <= 60, node.name


# Where values of several types are told apart, because they come from a caller or from a file.
MAKERS = {
    "evaluation.py",
    "images/opening.py",
    "images/readers.py",
    "images/channels.py",
    "models/output.py",
    "models/packed.py",
    "runs/executors.py",
    "stores/store_kinds.py",
    "stores/record.py",
}
TOLD_APART = {
    *(
        "Source",
        "NumpySource",
        "DaskSource",
        "ZarrSource",
        "TiffSource",
        "PhotoSource",
        "Mosaic",
        "Labeled",
        "Sliceable",
        "View",
        "Image",
    ),
    *("Engine", "NumexprEngine", "TableEngine", "Encoding", "Plain", "Half", "Linear", "Logarithmic"),
    *(
        "Packed",
        "Quantity",
        "Density",
        "LogDensity",
        "LogRatio",
        "Posterior",
        "Label",
        "Confidence",
        "Entropy",
    ),
    *("Store", "LocalStore", "ObjectStore", "Executor", "Threads", "Cluster"),
}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in MAKERS])
def test_implementations_of_a_seam_are_not_told_apart(module: str) -> None:
    """No isinstance over sources, engines, quantities or encodings but where they are made."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            names = {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)}
            assert not names & TOLD_APART, f"line {node.lineno}: {names}"


@pytest.mark.parametrize("module", [module for module in MODULES if not module.endswith("__.py")])
def test_every_module_has_its_tests(module: str) -> None:
    """Tests mirror modules; the contracts are tests themselves."""
    if not module.startswith("testing/"):
        folder, _, name = module.rpartition("/")
        assert (TESTS / folder / f"test_{name}").is_file()


def test_import_is_light() -> None:
    """Importing the package loads no reader, no extra and no cluster."""
    heavy = ["cv2", "tifffile", "imagecodecs", "distributed", "sklearn", "pytest"]
    code = f"import sys, pipeline; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_everything_public_is_documented() -> None:
    """Every public name exists and has a docstring; the version is that of the distribution."""
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__doc__, name
    assert pipeline.__version__.count(".") >= 2
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing


@pytest.mark.xdist_group("any")
def test_groups_stay_together(request: pytest.FixtureRequest) -> None:
    """In several processes a test is known by its group, or else what a group shares is set up in each."""
    assert request.node.nodeid.endswith("@any") is ("PYTEST_XDIST_WORKER" in os.environ)
