"""What a run writes after each epoch, and how it is resumed from that."""

from __future__ import annotations

from typing import Any

from mien.errors import RunError, arg
from mien.files import write_text
from mien.models.registry import completed
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.run_history import best_epoch, history_to_csv
from mien.training import checkpoint
from mien.training.state import TrainingState


def save_epoch(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> None:
    """Write the files of the epoch that ended last. Raises :class:`RunError`."""
    tensors = (
        checkpoint.pack("model", state.network.state_dict())
        | checkpoint.pack("average", state.average.tensors)
        | checkpoint.pack("optimizer", checkpoint.optimizer_tensors(state.optimizer))
    )
    scaler = state.fabric.strategy.precision.state_dict()
    scaled = {"loss_scaler": scaler} if scaler else {}
    checkpoint.save(run.last, tensors, {**facts, **scaled, "history": state.history})
    _save_best(state, run, facts)


def _save_best(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> None:
    """Write history, and the weights where the last epoch is the best one."""
    if best_epoch(state.history, state.recipe) == len(state.history):
        with state.average.in_place():
            checkpoint.save(run.best, state.network.state_dict(), {**facts, "epoch": len(state.history)})
    write_text(run.path / "history.csv", history_to_csv(state.history))


def check_resumable(run: RunFolder, recipe: Recipe) -> None:
    """Refuse a run that no training made, or that has another recipe. Raises :class:`RunError`."""
    if run.best.is_file() and not run.last.is_file():
        raise RunError(
            f"{run.path} has no checkpoint to resume: only its weights were kept. Fine-tune it with "
            f"{arg('init_from')}.",
            code="run-not-resumable",
        )
    own, given = (completed(each).model for each in (run.read_recipe(), recipe))
    if own.file and given.file and own.settings["file_sha256"] != given.settings["file_sha256"]:
        raise RunError(
            f"{given.file} has changed since {run.path} began. Resume with {run.recipe_file}, or train into another "
            f"{arg('out')}.",
            code="model-file-changed",
        )
    _check(
        completed(run.read_recipe()).digest == completed(recipe).digest, run, "by another recipe", "recipe", "its own"
    )


def restore(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """Bring the state to where the run's last finished epoch left it.

    Args:
        state: what :func:`mien.training.state.prepare` made.
        run: started before.
        facts: of the run as it was asked for now.

    Returns:
        The run's own facts: with an epoch done, its first weights need not be at hand any more, but are named.

    Raises:
        RunError: no training made the run; it has another recipe, other data, teachers or first weights; its
            checkpoint is damaged.
    """
    check_resumable(run, state.recipe)
    if not run.last.is_file():
        return facts  # killed while the files of its first epoch were written
    tensors, kept = checkpoint.load(run.last)
    if "history" not in kept:
        raise RunError(
            f"{run.last} is not a checkpoint that can be resumed. Train again into another folder.",
            code="checkpoint-damaged",
        )
    own_data = state.plan.dataset.matches_training_data(kept["data_fingerprint"])
    _check(own_data, run, "on other data", "data", "its own")
    _check(kept.get("votes_fingerprint") == facts.get("votes_fingerprint"), run, "on other votes", "votes", "its own")
    parts = kept.get("not_of_the_recipe", {}) == facts.get("not_of_the_recipe", {})
    _check(parts, run, f"with {kept.get('not_of_the_recipe') or 'nothing'} beside the recipe", "parts", "the same")
    same_teachers = kept.get("taught_by", []) == facts["taught_by"]
    _check(same_teachers, run, "with other teachers", "teachers", "those, in their order")
    started_from = kept.get("started_from")
    if state.init_checkpoint is not None and started_from != facts["started_from"]:
        raise RunError(
            f"{run.path} was started from other weights, {started_from or 'drawn at random'}. Start from those, or "
            f"resume without {arg('init_from')} and model.weights: mien train {run.recipe_file} --out {run.path} "
            "--resume",
            code="run-other-weights",
        )
    facts = {**facts, "started_from": started_from}
    checkpoint.load_matching(state.network, checkpoint.unpack("model", tensors), run.last)
    state.average.restore(checkpoint.unpack("average", tensors))
    checkpoint.restore_optimizer(state.optimizer, checkpoint.unpack("optimizer", tensors))
    if "loss_scaler" in kept:
        state.fabric.strategy.precision.load_state_dict(kept["loss_scaler"])
    state.history = kept["history"]
    # A process may have been killed after it wrote the checkpoint.
    _save_best(state, run, facts)
    return facts


def _check(is_same: bool, run: RunFolder, how: str, what: str, with_what: str) -> None:
    if not is_same:
        raise RunError(
            f"{run.path} was trained {how}; resume it with {with_what}, or choose another {arg('out')}.",
            code=f"run-other-{what}",
        )
