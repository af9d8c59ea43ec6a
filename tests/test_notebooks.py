"""The notebooks run as Jupyter runs them, on mien's public names. What is committed shows drawn faces alone."""

import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from mien.data.parquet import write_parquet

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("study_?.ipynb"))
SVG, PNG, TABLE = "image/svg+xml", "image/png", "text/html"
SHOWN = {
    SVG: {"data", "curves", "roc", "study"},
    PNG: {"mistakes"},
    TABLE: {"data", "training", "classes", "mistakes", "study"},
}
"""Cells of both notebooks that draw, and that show a table."""
SHORTER = {'"--faces", "3000"': '"--faces", "150"', "epochs = 12": "epochs = 1", "jobs=2": "jobs=1"}
SHORTER_STUDY = {
    "study_a": {'only=["adam", "sgd-0.01", "sgd-0.1"]': 'only=["adam", "sgd-0.1"]'},
    "study_b": {'only=["1", "2", "3", "6", "6b", "7"]': 'only=["1", "6b", "7"]'},
}
"""What a test changes: whether the cells fit mien shows in a minute; the committed outputs show what they give."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    """One thread, no data that the user has, and nothing left in the user's home."""
    monkeypatch.delenv("MIEN_DATA", raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Jupyter's shell in this process, and in a folder: a kernel takes seconds to start."""
    monkeypatch.chdir(tmp_path)
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def printed(outputs):
    return "".join(each.text for each in outputs if each.output_type == "stream")


def check_shown(outputs):
    """Every cell but the first shows something, pictures and tables where they belong, and no warning."""
    assert [cell for cell, found in outputs.items() if not found] == ["install"]
    for cell, found in outputs.items():
        assert not [each for each in found if each.output_type == "error" or each.get("name") == "stderr"], cell
    for kind, cells in SHOWN.items():
        assert cells <= {cell for cell, found in outputs.items() if any(kind in each.get("data", {}) for each in found)}


def test_they_run_from_top_to_bottom_on_drawn_faces(tmp_path, charts):
    """Both in one kernel, which takes seconds to start; the names of the first are gone before the second."""
    first, second = both = [code_of(path) for path in NOTEBOOKS]
    for path, cells in zip(NOTEBOOKS, both, strict=True):
        for old, new in (SHORTER | SHORTER_STUDY[path.stem]).items():
            (cell,) = (each for each in cells if old in each.source)
            cell.source = cell.source.replace(old, new)
    for cell in second:
        cell.id += "-2"
    notebook = nbformat.v4.new_notebook(cells=[*first, nbformat.v4.new_code_cell("%reset -f"), *second])
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    for cells in both:
        outputs = {cell.id.removesuffix("-2"): cell.outputs for cell in cells}
        # One epoch learns so little that mien says so.
        outputs["training"] = [each for each in outputs["training"] if not each.get("text", "").startswith("note: ")]
        check_shown(outputs)
        assert printed(outputs["data"]).startswith("drawn-faces: <Dataset: 150 faces of 48 x 48,")


@each_notebook
def test_what_is_committed_is_drawn_learnt_and_small(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    outputs = {cell.id: cell.outputs for cell in code_of(path)}
    check_shown(outputs)
    assert printed(outputs["data"]).startswith("drawn-faces: <Dataset: 3,000 faces of 48 x 48,")
    # A quarter is happy: curves that show no learning are not worth showing.
    assert float(re.search(r"validation accuracy ([\d.]+)%", printed(outputs["curves"])).group(1)) > 60
    assert path.stat().st_size < 1_500_000


def test_fer2013_is_taken_where_it_lies_beside(shell, tmp_path, faces, capsys):
    write_parquet(faces, tmp_path / "fer2013.parquet")
    _, settings, *_ = code_of(NOTEBOOKS[0])
    shell.run_cell(settings.source).raise_error()
    assert capsys.readouterr().out.startswith("fer2013.parquet: <Dataset: 400 faces")


@pytest.mark.parametrize("beside", ["mien-0.1.0-py3-none-any.whl", "mien.zip", "mien/pyproject.toml"])
def test_without_mien_the_first_cell_installs_what_lies_beside(beside, shell, tmp_path, monkeypatch, capsys):
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).touch()
    shell.register_magic_function(print, magic_name="pip")  # it is replaced by its words
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    install, *_ = code_of(NOTEBOOKS[0])
    shell.run_cell(install.source).raise_error()
    place = str(tmp_path / beside).removesuffix("/pyproject.toml")
    assert f'"{place}[train,report,pandas]"' in capsys.readouterr().out
