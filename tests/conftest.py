"""What all tests share: one thread, rendered faces, one tiny trained run, and the real data where it is."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mien.base import progress
from mien.base.errors import MissingExtraError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.recipe import Recipe, check_recipe, dump_recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import read_data
from mien.data.synthetic import draw_labels, render_faces, synthetic_faces
from undrawn import undrawn
from video_support import write_video

# Looking for garbage among all that is imported took a tenth of the time; less often, it takes half of that.
gc.set_threshold(50_000, 20, 50)
# nbformat's checker of schemas would build a grammar of addresses, which takes seconds and which no notebook needs.
sys.modules["rfc3987_syntax"] = None
# How fast examples are drawn says how busy the machine is, not whether the code is right.
settings.register_profile("mien", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mien")

TINY_RECIPE = """
name = "tiny"
epochs = 2
batch_size = 32
label_smoothing = 0.1
ema_decay = 0.9
precision = "fp32"
[input]
crop_px = 44
[model]
name = "mien"
stem_width = 4
widths = [4, 8]
convolutions = [1, 2]
dropout = 0.1
[optim]
lr = 0.05
weight_decay = 1e-4
[schedule]
name = "cosine"
warmup = 0.1
[augment]
flip = true
translate = 0.1
random_erasing = 0.2
"""


LONGEST = {f"test_{name}.py" for name in ("notebooks", "tutorials", "distributed", "scheduler")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first: one that begins last would keep one core busy and the others idle."""
    renamed = LONGEST - {path.name for path in Path(__file__).parent.rglob("test_*.py")}
    assert not renamed, renamed
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def session_patch() -> Iterator[pytest.MonkeyPatch]:
    """Patches for all tests. The fixtures below name each; none of them changes a result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "for_children"), prepend=os.pathsep)
        yield patch


@pytest.fixture(scope="session", autouse=True)
def _one_thread(session_patch: pytest.MonkeyPatch) -> None:
    """Run torch and onnxruntime in one thread: more of them wait by spinning, and a prediction costs twice as much."""
    # The core's tests run without torch too: `make test-pythons`.
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
    import onnxruntime

    class OneThread(onnxruntime.SessionOptions):
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = 1

    session_patch.setattr(onnxruntime, "SessionOptions", OneThread)


@pytest.fixture(scope="session")
def workers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pytest-xdist's workers share: each has its own in one."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _exports_are_remembered(workers_folder: Path, session_patch: pytest.MonkeyPatch) -> None:
    """Export each graph to ONNX once: tests that train write the same few hundreds of times."""
    if find_spec("torch") is None:
        return
    import torch

    from remembered_export import remembering

    folder = workers_folder / "exports"
    session_patch.setenv("MIEN_TESTS_EXPORTS", str(folder))
    session_patch.setattr(torch.onnx, "export", remembering(torch.onnx.export, folder))


@pytest.fixture(scope="session", autouse=True)
def _charts_are_not_drawn(session_patch: pytest.MonkeyPatch) -> None:
    """Fill charts, but do not draw them, except with the two below."""
    if find_spec("torch") is not None:
        from matplotlib.figure import Figure

        session_patch.setattr(Figure, "savefig", undrawn(Figure.savefig))


@pytest.fixture
def charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at charts: SVG is drawn, also by commands that they start."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", undrawn(unwrap(Figure.savefig), "svg"))
    monkeypatch.setenv("MIEN_TESTS_DRAWN", "svg")


@pytest.fixture
def files_of_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that compare charts in other forms than SVG."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", unwrap(Figure.savefig))


@pytest.fixture(scope="session", autouse=True)
def _disk_is_not_awaited(session_patch: pytest.MonkeyPatch) -> None:
    """No test cuts the power. To wait for the disk took 7 ms, twenty times a training."""
    session_patch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session", autouse=True)
def _heeds_ctrl_c() -> None:
    """A suite that a shell runs in the background ignores Ctrl-C, and so would the commands that tests stop by it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache, or leaves the others --quiet."""
    monkeypatch.setattr(progress, "_quiet", False)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def fer2013_dev() -> Path:
    """FER2013's Training and PublicTest; CI has it beside the checkout, users need not."""
    path = Path(__file__).parents[1].parent / "shared" / "data" / "fer2013_dev.parquet"
    if not path.is_file():
        pytest.skip(f"FER2013 is not at {path}")
    return path


@pytest.fixture(scope="session")
def fer2013_faces(fer2013_dev: Path, workers_folder: Path) -> Dataset:
    """The same, decoded once for all workers: that takes seconds."""
    pytest.importorskip("pyarrow", reason="the core reads no parquet")
    from filelock import FileLock  # torch brings it

    with FileLock(workers_folder / "fer2013.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(workers_folder / "fer2013"))
        return read_data(fer2013_dev).faces


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """2,000 different rendered faces, uint8 (2000, 48, 48)."""
    return render_faces(draw_labels(2000, 11), 11)


@pytest.fixture(scope="session")
def astronaut() -> Any:
    """scikit-image's photo of Eileen Collins (NASA, public domain), uint8 (512, 512, 3): one face, smiling broadly."""
    return np.asarray(pytest.importorskip("skimage.data").astronaut())


@pytest.fixture(scope="session")
def encode_video() -> Callable[..., Path]:
    """``encode_video(path, frames, rate=30)``, where PyAV is installed."""
    pytest.importorskip("av")
    return write_video


@pytest.fixture(scope="session")
def timm() -> Any:
    """The package timm, where it and a torchvision that fits torch are installed."""
    from mien.models.pretrained import import_timm

    # Where `make` puts it. Not on the path of all tests: other packages import whatever torchvision they find.
    sys.path.append(str(Path(sys.prefix) / "timm"))
    try:
        return import_timm()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def faces() -> Dataset:
    """400 rendered faces of all seven expressions in all three splits."""
    return synthetic_faces(400, seed=1)


@pytest.fixture(scope="session")
def tiny_recipe_text() -> str:
    """The recipe of ``tiny_recipe`` as TOML."""
    return TINY_RECIPE


@pytest.fixture
def tiny_recipe() -> Recipe:
    """Two epochs of a very small network: seconds, not accuracy."""
    return check_recipe(tomllib.loads(TINY_RECIPE), "tiny")


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_recipe: Recipe) -> Path:
    """The recipe of ``tiny_recipe`` as a file."""
    file = tmp_path / "tiny.toml"
    file.write_text(dump_recipe(tiny_recipe))
    return file


def trained(folder: Path, recipe: str, faces: Dataset, *changes: str) -> RunFolder:
    """A finished run of a recipe with everything in its folder."""
    pytest.importorskip("torch", reason="mien[train] is not installed")
    from mien.pipeline.training_run import run_recipe
    from mien.training.plan import plan_training

    run_recipe(plan_training(check_recipe(tomllib.loads(recipe), folder.name, changes), faces), RunFolder(folder))
    return RunFolder(folder)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, faces: Dataset) -> RunFolder:
    """A finished run. Tests that change it work on a copy."""
    return trained(tmp_path_factory.mktemp("runs") / "tiny", TINY_RECIPE, faces)


@pytest.fixture
def own_run(tmp_path: Path, tiny_run: RunFolder) -> RunFolder:
    """A copy of ``tiny_run`` that the test may change, in the folder ``run``."""
    return RunFolder(shutil.copytree(tiny_run.path, tmp_path / "run"))


@pytest.fixture(scope="session")
def classifier(tiny_run: RunFolder) -> Any:
    """The model of ``tiny_run``."""
    from mien.inference.predictor import load

    return load(tiny_run.path, threads=1)


VOTED_OUTPUTS = """
[outputs.fer2013]
target = "label"

[outputs.perceived]
target = "votes"
"""


@pytest.fixture(scope="session")
def voted_faces(faces: Dataset) -> Dataset:
    """The rendered faces with ten drawn votes or so: most for the label."""
    votes = np.random.default_rng(0).integers(0, 2, (len(faces), 10))
    votes[np.arange(len(faces)), [FERPLUS_CLASSES.index(faces.classes[label]) for label in faces.labels]] += 6
    return replace(faces, votes=votes, vote_classes=FERPLUS_CLASSES)


@pytest.fixture(scope="session")
def voted_run(tmp_path_factory: pytest.TempPathFactory, voted_faces: Dataset) -> RunFolder:
    """A finished run of one epoch with two outputs: ``fer2013`` from labels, ``perceived`` from votes."""
    return trained(tmp_path_factory.mktemp("runs") / "voted", TINY_RECIPE + VOTED_OUTPUTS, voted_faces, "epochs=1")


@pytest.fixture(scope="session")
def face_folder(tmp_path_factory: pytest.TempPathFactory, faces: Dataset) -> Path:
    """The rendered faces as train/<class>/*.png, validation/..., test/...."""
    from PIL import Image

    root = tmp_path_factory.mktemp("faces")
    for index in range(len(faces)):
        folder = root / str(faces.split[index]) / faces.classes[faces.labels[index]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(faces.images[index])).save(folder / f"{index:04}.png")
    return root


@dataclass(frozen=True)
class Answer:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def mien(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run the command line in this process: ``mien("info", path)``."""

    def run(*arguments: object) -> Answer:
        from mien.cli.main import main

        progress.set_quiet(False)
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return run
