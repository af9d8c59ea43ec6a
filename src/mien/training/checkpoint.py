"""Checkpoints: tensors and some JSON in safetensors files, written whole or not at all. Nothing is unpickled."""

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

# Use a single metadata entry: safetensors writes several in random order, so equal checkpoints would differ.
_FACTS = "mien.facts"


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON-ready metadata. Raises :class:`mien.base.errors.RunError` if writing fails."""
    # safetensors needs row-major tensors, each with its own memory: training keeps convolutions channels-last, and a
    # user's network may have the same weights under two names.
    dense = {key: each.detach().cpu().clone(memory_format=torch.contiguous_format) for key, each in tensors.items()}
    write_bytes(path, safetensors.torch.save(dense, metadata={_FACTS: json.dumps(facts)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file written by :func:`save`. Raises RunError if it is missing, damaged, or not a checkpoint of mien."""
    if not path.is_file():
        raise RunError(f"{path} is missing. Training writes it after an epoch.", code="weights-unreadable")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            # Clone the tensors, so that the file is not kept open and can be replaced.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, KeyError, ValueError, OSError):
        refuse_pointer(path, RunError)
        words = f"{path} is damaged, unreadable or not a checkpoint of mien. Train again into another folder."
        raise RunError(words, code="weights-unreadable") from None


def row_keys(name: str, target: str, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return output and class of each row in the head, for one output; the label's output has the name ``""``."""
    return [("" if target == "label" else name, each) for each in classes]


def head_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return output and class of each row in a checkpoint's head, from its metadata; see :func:`row_keys`."""
    outputs = facts.get("outputs") or {"label": {"target": "label", "classes": facts["classes"]}}
    return [key for name, each in outputs.items() for key in row_keys(name, each["target"], each["classes"])]


def pack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add ``prefix.`` to every name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unpack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names begin with ``prefix.``, without that prefix; the inverse of :func:`pack`."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


_NUMBER = ":number"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as tensors named ``<parameter>.<entry>``; names of plain numbers end in ``:number``.

    Some optimisers, such as schedule-free ones, have state in their groups: ``group<index>.<entry>``.
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
    """Restore the state from :func:`optimizer_tensors`."""
    state: dict[int, dict[str, Tensor | float]] = {}
    groups = optimizer.state_dict()["param_groups"]
    for name, value in tensors.items():
        place, _, entry = name.partition(".")
        group = place.removeprefix("group")
        values = state.setdefault(int(place), {}) if group == place else groups[int(group)]
        values[entry.removesuffix(_NUMBER)] = value.item() if entry.endswith(_NUMBER) else value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_matching(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into a model whose parameters must match exactly. Raises :class:`RunError`."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        words = f"{path} holds the weights of another network than its recipe describes."
        raise RunError(words, code="weights-unreadable") from None


def load_best(run: RunFolder) -> tuple[Network, dict[str, Any]]:
    """Load the network of a run's best epoch on the CPU in evaluation mode, and the checkpoint's metadata.

    Raises RunError: no such run, no finished epoch, a damaged checkpoint, or a checkpoint of another network.
    """
    recipe = run.read_recipe()
    tensors, facts = load(run.best)
    network = build_model(recipe.model, len(head_rows(facts)), *recipe.input.crop_and_channels)
    load_matching(network, tensors, run.best)
    return network.eval(), facts


def load_network(run: RunFolder) -> Network:
    """Load the network of a run's best epoch in evaluation mode, with only the label's output."""
    network, facts = load_best(run)
    count = len(facts["classes"])
    if network.head.out_features > count:
        head = nn.Linear(network.head.in_features, count)
        head.load_state_dict({name: value[:count] for name, value in network.head.state_dict().items()})
        network.head = head
    return network.eval()
