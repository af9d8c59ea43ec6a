"""The notebooks run as Jupyter runs them. What is committed holds no output, and so nobody's face."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support import write_fer2013

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SILENT = {"install", "settings"}
PICTURES, TABLES = "image/svg+xml", "text/html"
SHOWN = {
    "study_a": {
        PICTURES: {"data", "faces", "augmentation", "curves", "confusion", "roc", "saliency"},
        TABLES: {"training", "question", "answer", "repeats", "report", "copies"},
    },
    "study_b": {
        PICTURES: {"data", "augmentation", "curves", "confusion", "roc", "threshold", "saliency"},
        TABLES: {"training", "report", "balance", "rows", "schemes", "merging", "fair", "groups"},
    },
}
"""Which cells draw, and which show a table."""


@pytest.fixture
def work(tmp_path):
    """The folder that a notebook runs in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def execute(tmp_path, work, monkeypatch):
    """Run a notebook with one thread, as all tests, and leave nothing in the user's home; outputs by cell."""
    monkeypatch.delenv("MIEN_DATA", raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))

    def run(notebook):
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": work}})
        client.execute()
        return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    return run


def read(path):
    return nbformat.read(path, as_version=4)


def printed(outputs):
    return "".join(each.text for each in outputs if each.output_type == "stream")


def test_both_studies_are_told():
    assert [path.stem for path in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom_on_drawn_faces(path, execute):
    notebook = read(path)
    outputs = execute(notebook)
    for cell, found in outputs.items():
        assert bool(found) == (cell not in SILENT), cell
        # A warning in a notebook is the first thing that its reader sees.
        assert not [each for each in found if each.get("name") == "stderr"], printed(found)
    for kind, cells in SHOWN[path.stem].items():
        assert {cell for cell, found in outputs.items() if any(kind in each.get("data", {}) for each in found)} == cells
    assert "drawn by mien.data.synthetic" in printed(outputs["data"])
    # An accuracy after each run; drawn faces are a quarter happy, and the first network learns more than that.
    accuracy = float(re.search(r"seed 0: ([\d.]+)%\n", printed(outputs["training"])).group(1))
    assert accuracy > 30


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kaggles_file_is_taken_where_it_lies_beside(path, execute, work, voted_faces):
    write_fer2013(work, voted_faces)
    notebook = read(path)
    ids = [cell.id for cell in notebook.cells]
    notebook.cells = notebook.cells[: ids.index("model-words")]
    said = printed(execute(notebook)["data"])
    assert said == "400 faces: fer2013.csv, Kaggle CSV; splits: official FER2013 splits\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_holds_no_output(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"{path.name}, cell {cell.id}: clear all outputs before you commit"
        assert cell.get("execution_count") is None
        assert not cell.get("attachments")
    assert "base64" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path):
    words = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)#]+)\)", words)
    assert targets
    for target in targets:
        assert (FOLDER / target).is_file(), target
