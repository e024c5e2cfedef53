"""The notebooks: clean as they are committed, and run from top to bottom as a reader runs them."""

import ast
import base64
import io
import itertools
import os
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
BADGE = (
    "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/jaxgan/jaxgan/blob/main/notebooks/{})"
)


class Notebook(NamedTuple):
    """What is known of a notebook.

    Attributes:
      pictures: the cells that show a picture, by id.
      smaller: smaller numbers than a reader's, by parameter.
      runs: what its parameter `workdir` has below it: the folders of runs; none where nothing is trained.
    """

    pictures: set[str]
    smaller: dict[str, int]
    runs: tuple[str, ...] = ()


KNOWN = {
    "quickstart": Notebook(
        {"data", "progress", "curves", "grid", "latents", "interpolation", "walk", "open", "own"},
        {"steps": 20},
        (".", "../run_own"),
    ),
    "restoring": Notebook(
        {"data", "enlarged", "blend", "tiles", "filled", "mask", "cleaned"},
        {"steps": 3, "width": 4},
        ("enlarge", "fill", "clean"),
    ),
    "translating": Notebook(
        {"pairs", "progress", "coloured", "unpaired", "cycled", "compared", "own"},
        {"steps": 2, "width": 4},
        ("paired", "cycle", "contrastive"),
    ),
    "styles": Notebook(
        {"data", "joint", "path", "shared", "between", "styles", "drawn", "references", "edit"},
        {"steps": 2, "width": 4},
        ("coupled", "unit", "starganv2"),
    ),
    "dirac": Notebook({"plot", "distance"}, {"steps": 20}),
    "precision_recall": Notebook({"manifold", "figures", "bias"}, {"count": 20}),
}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def give_parameters(notebook, **values):
    """Assigns these after the cell tagged `parameters`, as papermill does."""
    tagged = ["parameters" in cell.metadata.get("tags", ()) for cell in notebook.cells]
    assert tagged.count(True) == 1
    defaults = ast.parse(notebook.cells[tagged.index(True)].source).body
    assert values.keys() <= {statement.targets[0].id for statement in defaults}
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    notebook.cells.insert(tagged.index(True) + 1, nbformat.v4.new_code_cell(source))


def pictures_of(cell):
    """The pictures that a cell showed."""
    shown = [output["data"] for output in cell.outputs if "data" in output]
    encoded = [data[kind] for data in shown for kind in ("image/png", "image/gif") if kind in data]
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]


def texts_of(cell, stream):
    return "".join(output.text for output in cell.outputs if output.get("name") == stream)


def files_left():
    """What a run could leave in the checkout."""
    return {path for folder in ("notebooks", "runs") for path in ROOT.glob(f"{folder}/*")}


@pytest.fixture
def a_readers_machine(tmp_path, monkeypatch):
    """One device, no data prepared, nothing of this user's Jupyter, and nowhere to write but here."""
    flags = os.environ["XLA_FLAGS"].split()
    kept = [flag for flag in flags if "device_count" not in flag]
    monkeypatch.setenv("XLA_FLAGS", " ".join(kept))
    for name in (
        "TFDS_DATA_DIR",
        "IPYTHONDIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_RUNTIME_DIR",
    ):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == KNOWN.keys()


@each_notebook
def test_is_committed_clean(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert BADGE.format(path.name) in notebook.cells[0].source
    for cell in code_cells(notebook):
        assert cell.outputs == [] and cell.execution_count is None, cell.id
        assert cell.metadata.keys() <= {"tags"}, cell.id
        assert max(map(len, cell.source.splitlines())) <= 110, cell.id


@each_notebook
def test_runs_from_top_to_bottom(path, tmp_path, a_readers_machine):
    before, workdir, known = files_left(), tmp_path / "run", KNOWN[path.stem]
    notebook = read(path)
    give_parameters(notebook, **known.smaller, **({"workdir": str(workdir)} if known.runs else {}))
    notebook.cells.append(nbformat.v4.new_code_cell("print(sys.executable)", id="kernel"))

    where = {"metadata": {"path": str(path.parent)}}  # as Jupyter starts it
    NotebookClient(notebook, kernel_name="python3", timeout=240, resources=where).execute()

    cells = {cell.id: cell for cell in code_cells(notebook)}
    assert [cell.execution_count for cell in cells.values()] == list(range(1, len(cells) + 1))
    assert texts_of(cells["kernel"], "stdout").strip() == sys.executable
    assert texts_of(cells["install"], "stdout") + texts_of(cells["install"], "stderr") == ""
    pictures = {name: pictures_of(cell) for name, cell in cells.items() if pictures_of(cell)}
    assert pictures.keys() == known.pictures
    for name, shown in pictures.items():
        low, high = shown[-1].convert("L").getextrema()
        assert low < high and min(shown[-1].size) >= 48, name
    warned = [
        line for cell in cells.values() for line in texts_of(cell, "stderr").splitlines() if "Warning" in line
    ]
    assert warned == []
    for name in itertools.product(known.runs, ("samples.png", "progress.png", "curves.png")):
        assert workdir.joinpath(*name).stat().st_size > 0
    assert files_left() == before
