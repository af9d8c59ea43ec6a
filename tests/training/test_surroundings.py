"""A training in a program of its user: other launchers' variables, the program's random numbers, its threads."""

import gc
import importlib
import os
import random
import weakref
from threading import Thread

import numpy as np
import pytest
import torch
from torch import distributed

import mien
from mien.base.errors import TrainingError
from mien.base.run_folder import RunFolder
from mien.training.device import _never_destroy, check_device, leave, make_fabric, sum_dtype
from support import raises
from training_support import same_weights

SLURM = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "x"}
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
LIGHTNING = {"LT_CLI_USED": "1", "LT_DEVICES": "2", "LT_STRATEGY": "ddp", "LT_NUM_NODES": "3"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


@pytest.mark.parametrize("variables", [SLURM, MPI, LIGHTNING, TORCHRUN])
def test_one_process_trains_alone_with_a_launchers_left_variables(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fabric = make_fabric("fp32", "cpu")
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


def test_a_program_of_torchrun_trains_once(monkeypatch):
    monkeypatch.setattr("mien.training.device._left", [])
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    leave()
    monkeypatch.setattr("mien.training.device.process_count", lambda: 2)
    with raises(TrainingError, "processes"):
        make_fabric("fp32", "cpu")


def test_import_drops_ranks_that_are_no_numbers(monkeypatch):
    monkeypatch.setenv("RANK", "")
    importlib.reload(mien.training)
    assert "RANK" not in os.environ


def test_a_training_leaves_the_programs_state_as_it_was(tmp_path, faces, tiny_recipe):
    """Oracle: the same draws without a training in between."""

    def draws(between):
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(5)
        between()
        return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002

    class Draws(mien.Callback):
        def on_step_begin(self, training, batch):
            torch.rand(1)

    def train():
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad():
                mien.train(tiny_recipe, faces, epochs=1, out=tmp_path / "run", callback=Draws(), verbose=0)
                assert not torch.is_grad_enabled()
            mien.load_network(tmp_path / "run")
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)

    assert draws(train) == draws(lambda: None)


def test_trainings_in_two_threads_equal_those_one_after_another(tmp_path, faces, tiny_recipe):
    def train(folder):
        mien.train(tiny_recipe, faces, epochs=1, out=tmp_path / folder, verbose=0)

    threads = [Thread(target=train, args=[name]) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    train("alone")
    for name in ("first", "second"):
        assert same_weights(*(RunFolder(tmp_path / each) for each in (name, "alone")))
        assert (tmp_path / name / "model.onnx").is_file()


def test_make_fabric_uses_or_refuses_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("auto", "cpu"):
        check_device(device)
        assert make_fabric("fp32", device).device.type == "cpu"
    for device in ("cuda", "mps", "tpu"):
        with raises(TrainingError, "device-unknown", f"'{device}'"):
            make_fabric("fp32", device)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert make_fabric("auto")._precision.precision == precision
    # Oracle: torch's list of types that MPS lacks.
    assert sum_dtype(torch.device("mps")) is torch.float32
    assert sum_dtype(torch.device("cpu")) is sum_dtype(torch.device("cuda")) is torch.float64


def test_a_distributed_model_outlives_its_names():
    """Oracle: a weak reference, which dies with its object."""
    kept, dropped = torch.nn.Identity(), torch.nn.Identity()
    _never_destroy(kept)
    references = [weakref.ref(kept), weakref.ref(dropped)]
    del kept, dropped
    gc.collect()
    assert [reference() is None for reference in references] == [False, True]
