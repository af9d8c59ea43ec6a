"""A wheel has the browser page and the face detector inside, and an index shows its README right.

Oracles: make's own plan, a zip made by hand, packages that are built here, packaging's reader of metadata, the
digests of package-lock.json.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from support import load_script

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "src" / "mien" / "serve" / "static"


@pytest.fixture(scope="module")
def check_wheel():
    return load_script(ROOT / "release" / "check_wheel.py")


def a_wheel(folder, files):
    path = folder / "mien-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name if name.startswith("mien/") else f"mien/serve/static/{name}", content)
    return path


@pytest.fixture
def whole(check_wheel):
    hashed = (f"{name}1" for name in check_wheel.ASSETS)
    return dict.fromkeys([*check_wheel.DETECTOR, *check_wheel.NEEDED, *hashed], "x")


def test_missing_and_empty_files_are_named(check_wheel, whole, tmp_path, capsys):
    for name in ("index.html", "onnxruntime-notices.txt", "mien/faces/networks/check.onnx"):
        for files in ({**whole, name: ""}, {other: "x" for other in whole if other != name}):
            assert check_wheel.main([str(a_wheel(tmp_path, files))]) == 1
            assert f"lacks {name}; run: make web" in capsys.readouterr().err
    assert check_wheel.main([str(a_wheel(tmp_path, {}))]) == 1
    assert "index.html, worker.js, onnxruntime-notices.txt, about.css" in capsys.readouterr().err


SOURCE = ("src/mien/version.py", "src/mien/__init__.py", "src/mien/py.typed", "web/package.json", "release/ship.py")
PUBLIC = ("index.html", "worker.js", *(file.name for file in (ROOT / "web" / "public").iterdir()))
PAGE = (*(f"src/mien/serve/static/{name}" for name in PUBLIC), "src/mien/serve/static/assets/index-1.js")
DETECTOR = ("src/mien/faces/networks/proposals.onnx", "src/mien/faces/networks/check.onnx")
UNWANTED = ("src/mien/serve/static/model.onnx", "web/tests/vectors.json", "release/soft-labels.npz", "tests/test_x.py")


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


def test_two_builds_have_the_same_bytes(checkout, tmp_path):
    digests = []
    for number in ("first", "second"):
        for file in checkout.rglob("*"):
            os.utime(file, (1_600_000_000 + len(digests), 1_600_000_000))
        build(checkout, tmp_path / number)
        digests.append({file.name: sha256(file.read_bytes()).digest() for file in (tmp_path / number).iterdir()})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


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
    assert len(addresses) > 20
    for address in (*addresses, *metadata.project_urls.values()):
        kind = re.match(r"https://host\.example/owner/mien(?:/(blob|raw)/v[\d.]+/([^#]+)(?:#.*)?|/issues)?$", address)
        assert kind, address
        if kind[2]:
            assert (ROOT / kind[2]).exists()
            assert (kind[1] == "raw") == address.endswith(".png")


def test_without_a_known_repository_nothing_in_the_metadata_leads_nowhere(checkout, tmp_path):
    build(checkout, tmp_path, repository="")
    metadata = metadata_of(tmp_path)
    assert "](" not in metadata.description
    assert "<img" not in metadata.description
    assert not metadata.project_urls


def test_every_npm_package_is_locked_by_its_digest():
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 50
    for name, entry in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry["integrity"]), name
    named = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    for name, version in named.items():
        assert packages[f"node_modules/{name}"]["version"] == version


@pytest.mark.network
@pytest.mark.skipif(not (STATIC / "model.json").is_file(), reason="the page is not built: make web")
def test_the_wheel_that_pip_builds_has_the_page(check_wheel, tmp_path):
    built = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(built, check=True)
    [wheel] = tmp_path.glob("*.whl")
    assert check_wheel.missing(wheel) == []
