"""Processes that tests start and kill, and what they do."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

import torch

import mien
from mien.base.errors import StudyError
from mien.base.run_folder import RunFolder
from mien.cli.main import main
from mien.data.synthetic import synthetic_faces
from mien.runs.plan import StudyCallback
from mien.runs.scheduler import StudyContext, make_plan, run_all
from mien.runs.spec import load_study
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

CHILDREN = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
"""``CHILDREN.Process``: one server imports torch, which takes three seconds, for all that it forks."""
CHILDREN.set_forkserver_preload(["mien.runs.scheduler"])


class Tells(Callback):
    """Sends the epoch after each step."""

    def __init__(self, pipe):
        self._pipe = pipe

    def on_step_end(self, epoch, images, loss):
        self._pipe.send(epoch)


def resume(recipe, out, pipe):
    """Train on the faces of ``tests/conftest.py``, from where the run in a folder stopped."""
    torch.set_num_threads(1)
    train(plan_training(recipe, synthetic_faces(400, seed=1)), RunFolder(out), callback=Tells(pipe), resume=True)


def print_into(said):
    """Let what this process prints go into files ``said``.out and ``said``.err."""
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(Path(f"{said}{suffix}"), os.O_CREAT | os.O_WRONLY), number)


def of_torchrun(rank, port, said, function, given):
    """Be one of two machines of a process each, as torchrun starts them. A torchrun imports torch twice anew."""
    print_into(said)
    place = {"RANK": rank, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {name: str(value) for name, value in {**place, "MASTER_PORT": port}.items()}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    function(*given)


def run_command(*words, said=None):
    """``mien`` with these words; what it prints may go into files ``said``.out and ``said``.err."""
    if said is not None:
        print_into(said)
    torch.set_num_threads(1)
    sys.argv = ["mien", *map(str, words)]
    main()


def train_and_go_on(folder):
    """A script that trains the recipe ``tiny.toml`` of a folder, and says the accuracy."""
    torch.set_num_threads(1)
    recipe, data, out = folder / "tiny.toml", folder / "faces.parquet", folder / "script"
    result = mien.train(recipe, data, out=out, epochs=1, batch_size=63, verbose=0)
    sys.stdout.write(str(result.evaluation.accuracy.value))


class Slow(StudyCallback):
    """Waits after each epoch, so that few epochs can be stopped."""

    def on_epochs(self, run, done):
        time.sleep(1)


def run_study(study, out, jobs, epochs):
    """Run the variant ``base`` of a study in a session of its own: a signal reaches it as a terminal's Ctrl-C does."""
    os.setsid()
    print_into(out)
    torch.set_num_threads(1)
    context = StudyContext({(48, 1): synthetic_faces(400, seed=1)}, out, out / "results", {})
    plan = make_plan(load_study(str(study)), context.faces_by_form, [f"epochs={epochs}"])
    runs = [run for run in plan if run.variant == "base"]
    try:
        sys.stdout.write(str(run_all(runs, {}, context, StudyCallback() if jobs > 1 else Slow(), jobs)))
    except StudyError as error:
        sys.stdout.write(f"StudyError {error.code}: {error}")
