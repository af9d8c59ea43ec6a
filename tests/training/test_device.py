import torch

from mien.training.device import make_fabric


def test_precisions():
    assert make_fabric("fp32")._precision.precision == "32-true"
    assert make_fabric("bf16")._precision.precision == "bf16-mixed"


def test_auto_takes_bf16_only_where_the_cpu_computes_in_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert make_fabric("auto")._precision.precision == precision
