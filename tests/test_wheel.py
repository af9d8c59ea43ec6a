"""A wheel has the browser page and the face detector inside, and an index shows its README right.

Oracles: packages that are built here, packaging's reader of metadata.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]

SOURCE = ("src/mien/version.py", "src/mien/__init__.py", "src/mien/py.typed", "web/package.json", "release/ship.py")
PUBLIC = ("index.html", "worker.js", *(file.name for file in (ROOT / "web" / "public").iterdir()))
PAGE = (*(f"src/mien/serve/static/{name}" for name in PUBLIC), "src/mien/serve/static/assets/index-1.js")
DETECTOR = ("src/mien/faces/networks/detector.onnx", "src/mien/faces/networks/licences.txt")
UNWANTED = ("src/mien/serve/static/model.onnx", "web/tests/vectors.json", "release/teacher.onnx", "tests/test_x.py")


@pytest.fixture
def checkout(tmp_path):
    """The files that decide about a build, and one of each kind of the others."""
    root = tmp_path / "checkout"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore", "src/mien/version.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in (*SOURCE[1:], *PAGE, *DETECTOR, *UNWANTED):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}", encoding="utf-8")
    return root


def build(checkout, out, *options, path=None, repository="https://host.example/owner/mien"):
    """Both packages by the backend that pip uses, without a network. Returns what it said."""
    variables = {"SOURCE_DATE_EPOCH": "1700000000", "MIEN_REPOSITORY": repository}
    env = os.environ | variables | ({} if path is None else {"PATH": path})
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options, str(checkout)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def wheel_names(folder):
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_an_sdist_and_its_wheel_hold_the_page_and_no_data(checkout, tmp_path):
    """The wheel is made from the sdist, as `python -m build` and a distribution's packagers do it."""
    build(checkout, tmp_path / "dist")
    [sdist] = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held >= {*SOURCE[:-1], *PAGE, *DETECTOR, "hatch_build.py", "LICENSE"}
    assert not held & {*UNWANTED, SOURCE[-1]}
    names = wheel_names(tmp_path / "dist")
    assert names >= {name.removeprefix("src/") for name in (*PAGE, *DETECTOR, *SOURCE[:3])}
    assert "mien/serve/static/model.onnx" not in names


def test_without_node_a_build_has_no_page_and_says_so(checkout, tmp_path):
    (checkout / PAGE[0]).unlink()
    said = build(checkout, tmp_path / "dist", "--wheel", path=str(tmp_path))
    [note] = [line for line in said.splitlines() if "no browser page" in line]
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
    build(checkout, tmp_path, "--wheel")
    metadata = metadata_of(tmp_path)
    links = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', metadata.description)
    addresses = [one or other for one, other in links]
    assert len(addresses) > 10
    for address in (*addresses, *metadata.project_urls.values()):
        kind = re.match(r"https://host\.example/owner/mien(?:/(blob|raw)/v[\d.]+/([^#]+)(?:#.*)?|/issues)?$", address)
        assert kind, address
        if kind[2]:
            assert (ROOT / kind[2]).exists()
            assert (kind[1] == "raw") == address.endswith((".png", ".jpg"))
