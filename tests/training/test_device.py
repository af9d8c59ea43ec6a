import gc
import os
import platform
import subprocess
import sys
import weakref

import pytest
import torch

from mien.errors import TrainingError
from mien.training.device import check_device, keep_for_ever, make_fabric, sum_dtype
from support import raises


def test_precisions():
    assert make_fabric("fp32")._precision.precision == "32-true"
    assert make_fabric("bf16")._precision.precision == "bf16-mixed"
    assert make_fabric("fp16")._precision.precision == "16-mixed"


def test_an_apple_gpu_does_not_train_in_fp16(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with raises(TrainingError, "precision-device", "precision=fp32"):
        make_fabric("fp16", "mps")


def test_a_device_is_what_was_asked_for_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("auto", "cpu"):
        check_device(device)
        assert make_fabric("fp32", device).device.type == "cpu"
    for device, code in (("cuda", "device-missing"), ("mps", "device-missing"), ("tpu", "device-unknown")):
        with raises(TrainingError, code) as caught:
            make_fabric("fp32", device)
        assert f"'{device}'" in str(caught.value)


def test_auto_takes_bf16_only_where_the_cpu_computes_in_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert make_fabric("auto")._precision.precision == precision


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept by a setting of glibc")
def test_memory_that_training_frees_is_not_fetched_from_the_system_again():
    # Oracle: the kernel's count of pages that it had to bring in, before and after, in a process of its own.
    script = """
import resource, torch
from mien.training.device import make_fabric
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.empty(16 << 20).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fetched = pages()
make_fabric("fp32")
# Until the heap has room for a block: small ones may lie at its end and divide what is free, on some machines.
pages()
print(fetched, pages())
"""
    unset = ("GLIBC_TUNABLES", *(name for name in os.environ if name.startswith("MALLOC_")))
    environment = {key: value for key, value in os.environ.items() if key not in unset} | {"CUDA_VISIBLE_DEVICES": ""}
    # A user's own settings stand.
    own = ({"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"})
    for changes, is_kept in (({}, True), *((each, False) for each in own)):
        words = [sys.executable, "-c", script]
        answer = subprocess.run(words, env=environment | changes, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        fetched, kept = map(int, answer.stdout.split())
        assert (kept < fetched / 2) == is_kept


def test_what_is_kept_for_ever_outlives_its_names():
    """Oracle: a weak reference, which dies with its object."""
    kept, dropped = torch.nn.Identity(), torch.nn.Identity()
    keep_for_ever(kept)
    references = [weakref.ref(kept), weakref.ref(dropped)]
    del kept, dropped
    gc.collect()
    assert [reference() is None for reference in references] == [False, True]


def test_an_apple_gpu_sums_without_float64():
    """Oracle: torch's list of types that MPS lacks."""
    assert sum_dtype(torch.device("mps")) is torch.float32
    assert sum_dtype(torch.device("cpu")) is sum_dtype(torch.device("cuda")) is torch.float64
