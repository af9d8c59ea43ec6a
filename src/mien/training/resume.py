"""How a run that was stopped is resumed, and which runs cannot be."""

from __future__ import annotations

from typing import Any

from mien.errors import RunError
from mien.models.registry import completed
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.run_history import HISTORY_COLUMNS
from mien.training import checkpoint
from mien.training.machine import machine_changes
from mien.training.state import TrainingState


def check_same_recipe(run: RunFolder, recipe: Recipe) -> None:
    """Refuse to go on with a run by another recipe. Raises :class:`RunError`."""
    if completed(run.read_recipe()).digest != completed(recipe).digest:
        raise RunError(
            f"{run.path} was trained by another recipe; resume it with its own, or choose another --out.",
            code="run-other-recipe",
        )


def restore(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """Take up the run where its last finished epoch left it.

    Args:
        state: what :func:`prepare` made.
        run: begun before.
        facts: of the run as it was asked for now.

    Returns:
        The run's own facts: with an epoch done, its first weights need not be at hand any more, but are named.

    Raises:
        RunError: the run has another recipe, other data, teachers or first weights; its checkpoint is damaged.
    """
    begun = run.read_environment()
    run.remove_litter()
    check_same_recipe(run, state.recipe)
    if not state.plan.dataset.matches_training_data(begun.get("data_fingerprint", "")):
        raise RunError(
            f"{run.path} was trained on other data; resume it with its own, or choose another --out.",
            code="run-other-data",
        )
    if begun.get("votes_fingerprint") != facts.get("votes_fingerprint"):
        raise RunError(
            f"{run.path} was trained on other votes; resume it with its own, or choose another --out.",
            code="run-other-votes",
        )
    if begun.get("taught_by", []) != facts["taught_by"]:
        raise RunError(
            f"{run.path} was trained with other teachers; resume it with those, in their order, or choose another "
            f"--out.",
            code="run-other-teachers",
        )
    may_leave_it_out = run.last.is_file() and state.init_checkpoint is None
    if begun.get("started_from") != facts["started_from"] and not may_leave_it_out:
        begun_with = begun.get("started_from") or "weights drawn at random"
        raise RunError(
            f"{run.path} was started from other weights, {begun_with}. Start from those (--from, model.weights), or, "
            f"once an epoch is done, resume without them: mien train {run.recipe_file} --out {run.path} --resume",
            code="run-other-weights",
        )
    facts = {**facts, "started_from": begun.get("started_from")}
    if not run.last.is_file():
        return facts
    tensors, kept, file = checkpoint.load_last(run)
    if file != run.last:
        file.replace(run.last)
    if not _is_history(kept.get("history")):
        raise RunError(
            f"{file} is not a checkpoint that can be resumed. Train again into another folder.",
            code="checkpoint-damaged",
        )
    checkpoint.load_matching(state.network, checkpoint.unpack("model", tensors), file)
    state.average.restore(checkpoint.unpack("average", tensors))
    checkpoint.restore_optimizer(state.optimizer, checkpoint.unpack("optimizer", tensors))
    if "loss_scaler" in kept:
        state.fabric.strategy.precision.load_state_dict(kept["loss_scaler"])
    state.history = kept["history"]
    if run.next_best.is_file():
        if checkpoint.load(run.next_best)[1]["epoch"] == len(state.history):
            run.take_next_best()
        else:
            run.next_best.unlink()
    run.write_history(state.history)
    changes = machine_changes(run, str(state.fabric.device))
    if changes:
        run.note_resume({name: now for name, (_, now) in changes.items()}, len(state.history))
    return facts


def _is_history(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(line, dict) and all(isinstance(line.get(name), int | float) for name in HISTORY_COLUMNS)
        for line in found
    )
