"""A wheel has the browser page inside. Oracles: make's own plan, a zip made by hand, and a wheel that pip builds."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "src" / "mien" / "serve" / "static"


@pytest.fixture(scope="module")
def check_wheel():
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "release" / "check_wheel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_wheel(folder, files):
    path = folder / "mien-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"mien/serve/static/{name}", content)
    return path


@pytest.fixture
def whole(check_wheel):
    return dict.fromkeys([*check_wheel.NEEDED, "assets/index-1.js"], "x")


def test_a_whole_page_passes(check_wheel, whole, tmp_path, capsys):
    assert check_wheel.main([str(a_wheel(tmp_path, whole))]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["index.html", "model.onnx", "licences.txt", "onnxruntime-notices.txt"])
def test_a_missing_or_empty_file_is_named(check_wheel, whole, tmp_path, capsys, name):
    for files in ({**whole, name: ""}, {other: "x" for other in whole if other != name}):
        assert check_wheel.main([str(a_wheel(tmp_path, files))]) == 1
        assert f"lacks {name} of the page" in capsys.readouterr().err


def test_a_wheel_without_the_page_is_refused(check_wheel, tmp_path, capsys):
    assert check_wheel.main([str(a_wheel(tmp_path, {}))]) == 1
    assert "index.html, model.onnx" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_wheel_builds_the_page_first_and_looks_into_the_wheel():
    plan = subprocess.run(["make", "-n", "-B", "wheel"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    parts = ("npm run", "mien web build", "pip wheel", "release/check_wheel.py dist/mien-")
    steps = [plan.index(part) for part in parts]
    assert steps == sorted(steps)


@pytest.mark.network
@pytest.mark.skipif(not (STATIC / "model.json").is_file(), reason="the page is not built: make web")
def test_the_wheel_that_pip_builds_has_the_page(check_wheel, tmp_path):
    built = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(built, check=True)
    [wheel] = tmp_path.glob("*.whl")
    assert check_wheel.missing(wheel) == []
