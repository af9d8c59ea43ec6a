import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn, optim

from mien.base.errors import RunError
from mien.training import checkpoint
from support import raises

FACTS = {"recipe_digest": "a", "data_fingerprint": "b", "classes": ["ä"], "history": [{"loss": 0.1}]}


def test_checkpoint_returns_tensors_and_facts(tmp_path):
    tensors = {"a": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "n": torch.tensor(3)}
    checkpoint.save(tmp_path / "c", tensors, FACTS)
    loaded, facts = checkpoint.load(tmp_path / "c")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert facts == FACTS


def test_equal_checkpoints_give_equal_files(tmp_path):
    """A header with several entries would be in any order: files that were equal would not be, one time in two."""
    files = [tmp_path / str(number) for number in range(12)]
    for file in files:
        checkpoint.save(file, dict.fromkeys("ab", torch.ones(3)), FACTS)  # two names of one tensor
    assert len({file.read_bytes() for file in files}) == 1


def test_loaded_tensors_do_not_use_the_file(tmp_path):
    """Oracle: the file overwritten where it lies. What maps it would change with it, and on Windows keep it there."""
    checkpoint.save(tmp_path / "c", {"a": torch.ones(4096)}, FACTS)
    loaded, _ = checkpoint.load(tmp_path / "c")
    with (tmp_path / "c").open("r+b") as stream:
        stream.write(bytes((tmp_path / "c").stat().st_size))
    assert (loaded["a"] == 1).all()


class Slower(optim.Optimizer):
    """One that counts its steps in plain ints, of each parameter and of the group, as hand-written ones do."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1, "steps": 0})

    def step(self):
        group = self.param_groups[0]
        group["steps"] += 1
        for parameter in group["params"]:
            count = self.state[parameter]["step"] = self.state[parameter].get("step", 0) + 1
            parameter.data.add_(parameter.grad, alpha=-0.1 / math.factorial(count) / group["steps"])


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, 0.1, 0.9),
    lambda p: optim.Adam(p, 0.1),
    lambda p: optim.RMSprop(p, 0.1),
    lambda p: Slower(p),
])  # fmt: skip
def test_restored_optimizer_continues_identically(tmp_path, make):
    """Oracle: the same optimiser, not interrupted."""

    def steps(net, optimizer, count):
        for number in range(count):
            optimizer.zero_grad()
            (net(torch.full((1, 3), 1.0 + number)) ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    cut = nn.Linear(3, 2)
    cut.load_state_dict(whole.state_dict())
    first, second = make(whole.parameters()), make(cut.parameters())
    steps(whole, first, 3)
    steps(whole, first, 4)
    steps(cut, second, 3)
    checkpoint.save(tmp_path / "c", checkpoint.optimizer_tensors(second), FACTS)
    third = make(cut.parameters())
    checkpoint.restore_optimizer(third, checkpoint.load(tmp_path / "c")[0])
    steps(cut, third, 4)
    assert torch.equal(whole.weight, cut.weight)


def test_unpack_inverts_pack():
    packed = checkpoint.pack("model", {"a.b": torch.zeros(1)}) | checkpoint.pack("modelling", {"a": torch.zeros(1)})
    assert list(checkpoint.unpack("model", packed)) == ["a.b"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_load_refuses_other_files(tmp_path, content):
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
    (tmp_path / "c").write_bytes(content)
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
    save_file({"a": torch.zeros(1)}, tmp_path / "c")
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
