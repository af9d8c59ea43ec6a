import gc
import weakref

import torch

from mien.base.errors import TrainingError
from mien.training.device import _never_destroy, check_device, make_fabric, sum_dtype
from support import raises


def test_make_fabric_uses_or_refuses_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("auto", "cpu"):
        check_device(device)
        assert make_fabric("fp32", device).device.type == "cpu"
    for device, code in (("cuda", "device-missing"), ("mps", "device-missing"), ("tpu", "device-unknown")):
        with raises(TrainingError, code, f"'{device}'"):
            make_fabric("fp32", device)


def test_auto_precision_is_bf16_only_on_cpus_with_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert make_fabric("auto")._precision.precision == precision


def test_a_distributed_model_outlives_its_names():
    """Oracle: a weak reference, which dies with its object."""
    kept, dropped = torch.nn.Identity(), torch.nn.Identity()
    _never_destroy(kept)
    references = [weakref.ref(kept), weakref.ref(dropped)]
    del kept, dropped
    gc.collect()
    assert [reference() is None for reference in references] == [False, True]


def test_sum_dtype_is_float32_on_apple_gpus():
    """Oracle: torch's list of types that MPS lacks."""
    assert sum_dtype(torch.device("mps")) is torch.float32
    assert sum_dtype(torch.device("cpu")) is sum_dtype(torch.device("cuda")) is torch.float64
