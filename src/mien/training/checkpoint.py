"""Checkpoints: tensors and a little JSON in safetensors files, written whole or not at all, never unpickled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mien.base.errors import RunError
from mien.base.files import refuse_pointer, write_bytes
from mien.base.run_folder import RunFolder
from mien.models.network import Network
from mien.models.registry import build_model

# One entry of metadata alone: safetensors writes several in any order, and equal checkpoints are to be equal files.
_FACTS = "mien.facts"


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON-ready facts. Raises :class:`mien.base.errors.RunError` when the disk refuses."""
    # safetensors wants each tensor dense in row-major order; training keeps convolutions channels-last.
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(dense, metadata={_FACTS: json.dumps(facts)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        RunError: missing, damaged, or not a checkpoint of mien's.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing. Training writes it after an epoch.", code="checkpoint-missing")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            # Copies: in the file's own memory they would keep it from being replaced, or alive when it is.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, KeyError, ValueError, OSError):
        refuse_pointer(path, RunError)
        raise RunError(
            f"{path} is damaged, unreadable or not a checkpoint of mien's. Train again into another folder.",
            code="checkpoint-damaged",
        ) from None


def row_keys(name: str, target: str, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Output and class of each row of a head, for one output; the label output has no name of its own here."""
    return [("" if target == "label" else name, each) for each in classes]


def head_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Output and class of each row of the head of a checkpoint, by its facts; see :func:`row_keys`."""
    outputs = facts.get("outputs") or {"label": {"target": "label", "classes": facts["classes"]}}
    return [key for name, each in outputs.items() for key in row_keys(name, each["target"], each["classes"])]


def pack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put ``prefix.`` before every name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unpack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`pack`: the tensors under ``prefix.``, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


_NUMBER = ":number"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as tensors named ``<parameter>.<entry>``; a plain number's name ends in ``:number``.

    Some optimisers, such as schedule-free ones, keep state in their groups: ``group<index>.<entry>``.
    """
    found: dict[str, Tensor] = {}
    content = optimizer.state_dict()
    groups = {f"group{index}": group for index, group in enumerate(content["param_groups"])}
    for place, state in (content["state"] | groups).items():
        for entry, value in state.items():
            if isinstance(value, Tensor):
                found[f"{place}.{entry}"] = value
            elif isinstance(value, int | float):
                exact = torch.float64 if isinstance(value, float) else None
                found[f"{place}.{entry}{_NUMBER}"] = torch.tensor(value, dtype=exact)
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor | float]] = {}
    groups = optimizer.state_dict()["param_groups"]
    for name, value in tensors.items():
        place, _, entry = name.partition(".")
        group = place.removeprefix("group")
        values = state.setdefault(int(place), {}) if group == place else groups[int(group)]
        values[entry.removesuffix(_NUMBER)] = value.item() if entry.endswith(_NUMBER) else value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_matching(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into a model that must have exactly these. Raises :class:`RunError`."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise RunError(
            f"{path} holds the weights of another network than its recipe describes.", code="weights-mismatch"
        ) from None


def load_best(run: RunFolder) -> tuple[Network, dict[str, Any]]:
    """The network of a run's best epoch in evaluation mode, on the CPU, and the checkpoint's facts.

    Raises:
        RunError: no such run, no finished epoch, a damaged checkpoint, or one of another network.
    """
    recipe = run.read_recipe()
    tensors, facts = load(run.best)
    network = build_model(recipe.model, len(head_rows(facts)), *recipe.input.seen_as)
    load_matching(network, tensors, run.best)
    return network.eval(), facts


def load_network(run: RunFolder) -> Network:
    """The network of a run's best epoch in evaluation mode, with its label output alone.

    Raises:
        RunError: as :func:`load_best`.
    """
    network, facts = load_best(run)
    count = len(facts["classes"])
    if network.head.out_features > count:
        head = nn.Linear(network.head.in_features, count)
        head.load_state_dict({name: value[:count] for name, value in network.head.state_dict().items()})
        network.head = head
    return network.eval()
