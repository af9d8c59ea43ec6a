"""``mien.sweep``: search for better values of a recipe's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.api.inputs import Data, environment, read
from mien.base.errors import RecipeError, needs_extra
from mien.base.processes import torch_defaults
from mien.base.run_folder import check_out
from mien.runs.space import Space, load_space

if TYPE_CHECKING:
    from mien.runs.sweep import SweepResult
    from mien.training.callback import Callback


@torch_defaults()
def sweep(
    space: str | os.PathLike[str] | Space,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    trials: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    storage: str | None = None,
    notify: Callable[[str], None] = lambda line: None,
    callback: Callback | None = None,
) -> SweepResult:
    """Train one recipe many times with different values of some keys, and compare the validation accuracies.

    Args:
        space: name of a built-in space, path of a ``.toml`` file, or a space object.
        data: faces with ``train`` and ``validation`` splits; ``test`` is not used.
        out: folder of the sweep; default ``sweeps/SPACE``. A sweep that it contains is resumed.
        trials: number of trials; default: the space's.
        settings: changed keys of the base recipe of all trials: ``{"epochs": 5}``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        storage: address of a database that several machines share, as for Optuna: ``postgresql://host/db``; each
            machine needs an ``out`` of its own. Default: ``trials.db`` in ``out``.
        notify: called with one line for each warning and each ended trial.
        callback: callback for the training of each trial.

    Returns:
        All finished trials, sorted from the best in ``trials.csv``; ``best_recipe`` is the recipe file of the best.

    Raises:
        MissingExtraError: Optuna or torch is not installed.
        MienError: space, data or folder cannot be used.
    """
    if isinstance(space, Space) and settings:
        raise RecipeError("settings need a space by name or file.", code="settings-of-a-value")
    chosen = space if isinstance(space, Space) else load_space(space, list((settings or {}).items()))
    folder = check_out(Path("sweeps") / chosen.name if out is None else out, data)
    with needs_extra("search", "A sweep"):
        from mien.runs.sweep import check_networks, search
        from mien.training.device import check_device
        from mien.training.plan import recipe_warnings
    check_device(device)
    check_networks(chosen)
    for warning in recipe_warnings(chosen.base):
        notify(warning.line)
    return search(
        chosen,
        read(data, *chosen.base.input.size_and_channels).faces,
        folder,
        trials=trials,
        device=device,
        storage=storage,
        callback=callback,
        on_trial_end=notify,
        metadata=environment(data),
    )
