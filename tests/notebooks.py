"""Run notebooks, and store their outputs: small pictures, and nothing that changes from run to run.

This stores the outputs of all notebooks, or of those that are named:

    .venv/bin/python tests/notebooks.py [NAME ...]
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_WIDGET = "application/vnd.jupyter.widget-view+json"
_DPI = 72
_QUALITY = 75


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook and check that it follows its schema."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(path: Path) -> nbformat.NotebookNode:
    """Run every cell in a folder that holds only the photos of the notebooks, and draw small pictures."""
    notebook = read(path)
    with tempfile.TemporaryDirectory() as folder:
        for picture in path.parent.glob("*.webp"):
            shutil.copy(picture, folder)
        # Matplotlib reads it where it is imported.
        Path(folder, "matplotlibrc").write_text(f"figure.dpi: {_DPI}\n", encoding="utf-8")
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": folder}}).execute()
    return clean(notebook)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove times, versions, places and progress bars from a notebook, and make its pictures small."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "mixture_pipeline": {"code": digest(notebook)},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [
                _clean_output(output)
                for output in _joined(cell.outputs)
                if _WIDGET not in output.get("data", {})
            ]
    return notebook


def digest(notebook: nbformat.NotebookNode) -> str:
    """Return what tells whether outputs are those of the code."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def kinds(notebook: nbformat.NotebookNode) -> list[list[tuple[str, ...]]]:
    """Return the kinds of the outputs of each cell that runs, which are the same on every machine."""
    return [
        [
            (output.output_type, output.get("name", ""), *sorted(map(_kind, output.get("data", {}))))
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def store(path: Path) -> None:
    """Run a notebook and write it with its outputs."""
    nbformat.write(execute(path), path)


def _kind(mime: str) -> str:
    return "image" if mime in {"image/png", "image/jpeg"} else mime


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return outputs with the pieces of a stream joined, which are divided by chance."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _clean_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    content: dict[str, Any] = dict(output)
    if "execution_count" in content:
        content["execution_count"] = None
    if "text" in content:
        content["text"] = _clean_text(content["text"])
    if "data" in content:
        content["metadata"] = {}
        content["data"] = {
            mime: _clean_text(value) if mime.startswith("text/") else value
            for mime, value in content["data"].items()
        }
        if "text/html" in content["data"]:
            # This is what is shown.
            content["data"].pop("text/plain", None)
        if "image/png" in content["data"]:
            content["data"].update(_small_picture(content["data"].pop("image/png")))
    return nbformat.from_dict(content)


def _clean_text(text: str) -> str:
    """Replace the names of temporary folders, and that of the folder of the repository."""
    scratch = re.sub(rf"{re.escape(tempfile.gettempdir())}/tmp\w+", "/tmp/scratch", text)  # noqa: S108  only shown
    return scratch.replace(str(ROOT), "mixture-pipeline")


def _small_picture(data: str) -> dict[str, str]:
    """Return a PNG without its metadata, or a JPEG if that is much smaller, as it is for photos."""
    pixels: Any = cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    mime, smaller = ("image/jpeg", jpeg) if len(jpeg) < 0.6 * len(png) else ("image/png", png)
    return {mime: b64encode(smaller.tobytes()).decode()}


if __name__ == "__main__":
    for notebook_path in NOTEBOOKS:
        if len(sys.argv) == 1 or notebook_path.stem in sys.argv[1:]:
            store(notebook_path)
            print(notebook_path.name, f"{notebook_path.stat().st_size / 1000:.0f} kB")  # noqa: T201  a command's report
