"""The package as a whole: its public names, and what it must not import."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

import mien

SOURCE = Path(mien.__file__).parent
# The folders that may import torch, then the files that train: they import these folders when they are loaded.
TORCH_FOLDERS = ("mien.models", "mien.training", "mien.exporting", "mien.explanation.gradient")
TRAINS = (
    "mien.pipeline.training_run",
    *("mien.runs.scheduler", "mien.runs.folds", "mien.runs.sweep"),
)


def test_every_public_name_is_there():
    assert dir(mien) == mien.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mien.nonsense


def modules_of_the_core():
    names = (module.name for module in pkgutil.walk_packages([str(SOURCE)], "mien."))
    rooms = (*TORCH_FOLDERS, *TRAINS, "mien.serve", "mien.sklearn", "mien.__main__")
    return [name for name in names if not any(name == room or name.startswith(f"{room}.") for room in rooms)]


BLOCKER = """
import sys

class Unimportable:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "lightning_fabric", "safetensors", "onnx", "onnxscript", "pyarrow",
                                      "matplotlib", "sklearn", "jinja2", "scipy", "torchvision", "huggingface_hub",
                                      "optuna", "tensorboard", "cleanlab", "fastapi", "starlette", "uvicorn", "timm",
                                      "python_multipart", "prometheus_client", "av"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Unimportable())
"""


def run_python(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_everything_outside_training_imports_on_the_core_install():
    """Each such module is imported where every package of every extra is unimportable."""
    done = run_python(BLOCKER + "\n".join(f"import {name}" for name in modules_of_the_core()))
    assert done.returncode == 0, done.stderr


def test_every_public_name_loads_on_the_core_install_or_names_its_extra():
    code = """
import mien
for name in mien.__all__:
    try:
        getattr(mien, name)
    except mien.MissingExtraError as error:
        print(name, str(error).rpartition("mien[")[2])
"""
    done = run_python(BLOCKER + code)
    assert done.stdout.split() == ["SweepResult", "search]'", "TrainingResult", "train]'"], done.stderr


def test_crops_and_photos_are_classified_on_the_core_install(tiny_run, face_folder, tmp_path):
    """Oracle: the photo shows one smiling face."""
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    code = f"""
import mien
model = mien.load({str(tiny_run.path)!r})
predictions = model.predict_crops({str(face_folder / "test")!r})
assert len(predictions) > 7 and predictions[0].top in model.classes, predictions
assert [face.top for face in mien.load().predict({str(tmp_path / "photo.png")!r})] == ["happy"]
"""
    done = run_python(BLOCKER + code)
    assert done.returncode == 0, done.stderr


def test_the_first_prediction_waits_for_nothing_that_it_does_not_need():
    """No prediction of a crop needs these; imported at the top of a file they would delay the first one."""
    unneeded = ("http.client", "urllib.request", "mien.base.recipe", "tomllib", "torch")
    code = f"""
import numpy as np, mien, sys
mien.load().predict_crops(np.zeros((48, 48), np.uint8))
print([name for name in {unneeded!r} if name in sys.modules])
"""
    done = run_python(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_training_on_the_core_install_names_the_extra():
    done = run_python(BLOCKER + 'import sys; sys.argv = ["mien", "demo"]; from mien.__main__ import main; main()')
    assert done.returncode == 2
    assert "pip install 'mien[train,report]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["mien", "mien.cli.main"])
def test_a_door_opens_without_heavy_imports(name):
    heavy = ("numpy", "onnxruntime", "pydantic", *(["rich"] if name == "mien" else []))
    done = run_python(f"import {name}, sys; print([name for name in {heavy!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]"
