"""A wheel has the browser page and the face detector inside, and an index shows its README right.

Oracles: packages that are built here, packaging's reader of metadata.
"""

import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

build = pytest.importorskip("hatchling.build")

ROOT = Path(__file__).parents[1]

SOURCE = ("src/mien/version.py", "src/mien/__init__.py", "src/mien/py.typed", "web/package.json", "release/ship.py")
PUBLIC = ("index.html", "worker.js", *(file.name for file in (ROOT / "web" / "public").iterdir()))
PAGE = (*(f"src/mien/serve/static/{name}" for name in PUBLIC), "src/mien/serve/static/assets/index-1.js")
DETECTOR = ("src/mien/faces/networks/detector.onnx", "src/mien/faces/networks/licences.txt")
UNWANTED = ("src/mien/serve/static/model.onnx", "web/tests/vectors.json", "release/teacher.onnx", "tests/test_x.py")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The files that decide about a build, and one of each kind of the others; the working folder."""
    root = tmp_path / "checkout"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore", "src/mien/version.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in (*SOURCE[1:], *PAGE, *DETECTOR, *UNWANTED):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}", encoding="utf-8")
    monkeypatch.chdir(root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("MIEN_REPOSITORY", "https://host.example/owner/mien")
    return root


def wheel_names(folder):
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_an_sdist_and_its_wheel_hold_the_page_and_no_data(checkout, tmp_path, monkeypatch):
    """The wheel is made from the sdist, as `python -m build` and a distribution's packagers do it."""
    name = build.build_sdist(tmp_path / "dist")
    with tarfile.open(tmp_path / "dist" / name) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path / name.removesuffix(".tar.gz"))
    build.build_wheel(tmp_path / "dist")
    assert held >= {*SOURCE[:-1], *PAGE, *DETECTOR, "hatch_build.py", "LICENSE"}
    assert not held & {*UNWANTED, SOURCE[-1]}
    names = wheel_names(tmp_path / "dist")
    assert names >= {name.removeprefix("src/") for name in (*PAGE, *DETECTOR, *SOURCE[:3])}
    assert "mien/serve/static/model.onnx" not in names


def test_without_node_a_build_has_no_page_and_says_so(checkout, tmp_path, monkeypatch, capfd):
    (checkout / PAGE[0]).unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.get_requires_for_build_wheel() == []
    build.build_wheel(tmp_path / "dist")
    [note] = [line for line in capfd.readouterr().err.splitlines() if "no browser page" in line]
    assert "make, node, npm not found" in note
    assert "make web" in note
    assert "mien/version.py" in wheel_names(tmp_path / "dist")


def metadata_of(folder):
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return Metadata.from_email(archive.read(name))


def test_the_readme_in_the_metadata_links_to_what_exists(checkout, tmp_path):
    """Oracle: the repository's own files, at the addresses that GitHub gives them."""
    build.build_wheel(tmp_path)
    metadata = metadata_of(tmp_path)
    addresses = [one or other for one, other in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', metadata.description)]
    assert len(addresses) > 10
    for address in (*addresses, *metadata.project_urls.values()):
        kind = re.match(r"https://host\.example/owner/mien(?:/(blob|raw)/v[\d.]+/([^#]+)(?:#.*)?|/issues)?$", address)
        assert kind, address
        if kind[2]:
            assert (ROOT / kind[2]).exists()
            assert (kind[1] == "raw") == address.endswith((".png", ".jpg"))
