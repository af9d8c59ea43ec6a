"""The Python blocks of the guides run, on drawn faces. Oracle: Python; what they leave is there.

Networks and epochs are made small, and the service answers without a port.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from support import write_fer2013
from test_tutorials import ROOT, blocks, in_python

pytest.importorskip("torch", reason="the guides train")

# What each page's blocks leave in the working folder.
LEFT = {
    "audit": ["audit/clean.toml"],
    "data": ["drawn.parquet"],
    "extend": ["runs/mynet/mine.py", "runs/parts/model.onnx", "runs/brighter/model.onnx"],
    "predict": [],
    "predictions": ["predictions_test.npz"],
    "explain": ["maps/maps.npz", "mean.pdf"],
    "report": ["out/report.html", "confusion.tex", "tsne.pdf"],
    "serve": [],
    "study": [],  # see NAMED
    "training": ["runs/ten/model.onnx", "model.onnx"],
    "video": [],
}
# What those that write and print nothing leave as a name, and its type.
NAMED = {"study": ("table", "StudyTable")}


def test_every_guide_with_python_is_here():
    with_python = {page.stem for page in ROOT.glob("docs/*.md") if "```python" in page.read_text(encoding="utf-8")}
    assert with_python == {*LEFT, "index"}, "index.md is among the tutorials' pages"


@pytest.fixture
def world(tmp_path, monkeypatch, astronaut, faces, face_folder, voted_faces, tiny_run, tiny_recipe_text):
    """A folder with all files that the guides name, and the names that they take as given."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "a.jpg"):
        Image.fromarray(astronaut).save(name)
    shutil.copytree(face_folder, "PATH")
    shutil.copytree(face_folder / "test" / "happy", "faces")
    for name in ("mine", "s0", "s1"):
        shutil.copytree(tiny_run.path, f"runs/{name}")
    write_fer2013(tmp_path, voted_faces)
    Path("tiny.toml").write_text(tiny_recipe_text)
    images, names = np.asarray(faces.images), np.array(faces.classes)[faces.labels]
    return {
        "__name__": "guide", "array": astronaut, "crops": images[:4], "image": Image.fromarray(astronaut),
        "images": images, "labels": names, "numbers": faces.labels, "np": np,
        "my_model": lambda given: np.random.default_rng(0).normal(size=(len(given), 7)).astype(np.float32),
        "rgb": astronaut,
    }  # fmt: skip


def smaller(code: str) -> str:
    for large, small in (
        ('"quick"', '"tiny.toml"'),
        ('"short"', '"tiny.toml"'),
        ("epochs=10", "epochs=1"),
        ('"epochs": 10', '"epochs": 1'),
        ("10_000", "100"),
        ("2_000", "50"),
    ):
        code = code.replace(large, small)
    for call in re.findall(r"(?:train|find_lr)\(\s*([^,]+),", code):
        assert call in {'"tiny.toml"', "recipe"}, f"the page trains {call}, which is not made small here"
    return code


@pytest.mark.parametrize("name", LEFT)
def test_the_python_of_a_guide_runs(name, world, monkeypatch, encode_video):
    found = [code for language, code, _ in blocks((ROOT / "docs" / f"{name}.md").read_text()) if language == "python"]
    assert found
    if name == "video":
        encode_video(Path("talk.mp4"), [world["rgb"]] * 3)
    if name == "report":
        shutil.rmtree("runs/mine")
        mien.train("tiny.toml", "PATH", out="runs/mine")
    if name == "extend":
        Path("mine.py").write_text(found[0])
        monkeypatch.syspath_prepend(".")
    if name == "predictions":
        world["labels"] = world["numbers"]
    if name == "serve":
        answer_without_a_port(monkeypatch)
    printed = "".join(in_python(smaller(code), world) for code in found)
    for file in LEFT[name]:
        assert Path(file).is_file(), file
    if name in {"predict", "serve", "video"}:
        assert "happy" in printed
    if name in NAMED:
        variable, kind = NAMED[name]
        assert type(world[variable]).__name__ == kind


def answer_without_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from starlette.testclient import TestClient

    from mien.serve.app import create_app

    client = TestClient(create_app(threads=1), base_url="http://127.0.0.1:8000")
    monkeypatch.setattr(httpx, "post", lambda url, files, timeout: client.post(url, files=files))
