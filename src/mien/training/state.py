"""State of a training run: initial weights, teachers' targets, files written after each epoch, and resuming."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.base.arrays import Floats, Pixels
from mien.base.errors import DataError, RecipeError, RunError
from mien.base.files import file_sha256, write_text
from mien.base.labels import parse_scheme
from mien.base.processes import one_thread
from mien.base.recipe import Recipe, dotted
from mien.base.run_folder import HistoryLine, RunFolder, best_epoch, history_to_csv
from mien.data.dataset import Dataset
from mien.evaluation.calibration import apply_temperature
from mien.evaluation.predictions import Predictions, Teacher, read_predictions
from mien.models.network import Network
from mien.models.own import OwnNetwork
from mien.models.registry import build_model, check_sizes, completed, starts_from_scratch
from mien.training import checkpoint
from mien.training.batches import image_tensor
from mien.training.device import TrainingFabric, make_fabric
from mien.training.heads import HEADS, Head, LossFunction, Output, as_tensor, target_fingerprints
from mien.training.optim import WeightAverage, some_images
from mien.training.plan import TrainingPlan


@dataclass
class TrainingState:
    """State of a training run.

    Attributes:
        fabric: device, precision and processes.
        model: ``network`` wrapped by ``fabric``; call this one.
        average: weights that are validated and saved.
        recalibration_images: uint8 (M, S, S[, 3]), train images without augmentation, for batch norms; or None.
        images: uint8 (N, S, S[, 3]), train split after balancing; see :func:`mien.training.batches.image_tensor`.
        labels: int64 (N,), labels on the device.
        label_loss: loss of the label's output, on the device.
        heads: heads of the outputs, the label's first.
        init_checkpoint: file of the initial weights; None for random weights.
        history: lines of the finished epochs.
        cross_validation: for a fitted head, accuracy (0..1) on a number of images, in folds of identical images or
            groups, with the chosen penalty: the factor of half the sum of squared weights in the loss.
    """

    plan: TrainingPlan
    fabric: TrainingFabric
    network: Network
    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    recalibration_images: Pixels | None
    images: Tensor
    labels: Tensor
    label_loss: LossFunction
    heads: Sequence[Head]
    init_checkpoint: Path | None
    history: list[HistoryLine] = field(default_factory=list)
    cross_validation: dict[str, float] | None = None

    @property
    def recipe(self) -> Recipe:
        """The plan's recipe."""
        return self.plan.recipe


def check_network(recipe: Recipe, classes: int) -> Network:
    """Build the network with weights from the recipe's seed, and test it at every image size of the recipe."""
    with one_thread():
        torch.manual_seed(recipe.seed)
        network = build_model(recipe.model, classes, *recipe.input.crop_and_channels)
    early_px = [side_px for _, side_px in recipe.progressive_resizing]
    check_sizes(network, recipe.model, recipe.input.crop_px, early_px, recipe.input.channels)
    if (recipe.tuning.frozen_epochs or recipe.tuning.fit_head) and not network.head.weight.requires_grad:
        words = f"{recipe.model.name} does not end in a linear layer to train alone: set tuning.frozen_epochs = 0."
        raise RecipeError(words, code="model-setting")
    return network


def prepare(
    plan: TrainingPlan,
    init_from: RunFolder | None = None,
    resumed: Path | None = None,
    teachers: Sequence[Teacher] = (),
    device: str = "auto",
    network: Network | None = None,
) -> TrainingState:
    """Build everything that a run needs, without writing files; ``resumed`` is a checkpoint to restore.

    ``network`` is that of :func:`check_network` for this plan, and is trained; None builds it.

    Raises DataError for teachers of other data or classes, RecipeError for a network too deep for its images, RunError
    if ``init_from`` has no checkpoint of this network, ModelError for pretrained weights that cannot be used, and
    TrainingError for a device that does not exist, a batch with too few images for its processes, or processes that
    differ (``processes``).
    """
    recipe, train_faces = plan.recipe, plan.balanced_train
    fabric = make_fabric(recipe.precision, device, may_leave_out=recipe.tuning.frozen_epochs > 0)
    files = [each.file for each in teachers]
    files += [file for file in (init_from and init_from.best, resumed) if file]
    fabric.join(min(recipe.batch_size, len(train_faces)), lambda: _facts_to_compare(plan, teachers, files))
    network = network or check_network(recipe, plan.logits)
    init_checkpoint = _load_initial_weights(network, plan, init_from, is_resumed=resumed is not None)
    network, model, optimizer = fabric.set_up(network, plan.make_optimizer)
    label_loss = plan.loss.to(fabric.device) if plan.parts.loss is None else plan.parts.label_loss
    for part in (plan.parts.loss, plan.parts.augment):
        if isinstance(part, nn.Module):  # it may have tensors of its own, such as weights of classes
            part.to(fabric.device)
    taught = teacher_targets(recipe, plan.outputs, teachers, train_faces) if teachers else [None] * len(plan.outputs)
    return TrainingState(
        plan=plan,
        fabric=fabric,
        network=network,
        model=model,
        optimizer=optimizer,
        average=WeightAverage(network, recipe.ema_decay),
        recalibration_images=some_images(np.asarray(plan.train.images)) if recipe.recalibrate_bn else None,
        images=image_tensor(train_faces.images, fabric.device),
        labels=fabric.to_device(torch.from_numpy(train_faces.labels.copy())),
        label_loss=label_loss,
        heads=[
            HEADS[output.target](
                output, recipe, train_faces, fabric.device, label_loss, as_tensor(values, fabric.device)
            )
            for output, values in zip(plan.outputs, taught, strict=True)
        ],
        init_checkpoint=init_checkpoint,
    )


def _facts_to_compare(plan: TrainingPlan, teachers: Sequence[Teacher], files: Sequence[Path]) -> list[object]:
    # The name of a teacher's kept predictions tells the number of views.
    views = [each.predictions.name for each in teachers if each.predictions != each.file]
    data = plan.dataset.provenance | target_fingerprints(plan.recipe, plan.dataset)
    return [plan.recipe.digest, data, views, *map(file_digest, files)]


def _load_initial_weights(
    network: Network, plan: TrainingPlan, init_from: RunFolder | None, *, is_resumed: bool
) -> Path | None:
    """Load the weights to start from, unless a checkpoint will replace them; return their file, if there is one."""
    if is_resumed:
        return None if init_from is None else init_from.best
    if init_from is None:
        file = network.load_pretrained()
    else:
        load_init_weights(network, plan.outputs, init_from)
        file = init_from.best
    if plan.parts.weights is not None:
        assert isinstance(network, OwnNetwork)
        network.load_instance(plan.parts.weights)
    return file


def facts_of(state: TrainingState, teachers: Sequence[Teacher]) -> dict[str, Any]:
    """Return metadata for checkpoints and environment.json: data, classes, outputs, and what the run started from."""
    plan, own = state.plan, state.plan.parts.names()
    outputs = {each.name: {"classes": list(each.classes), "target": each.target} for each in plan.outputs}
    return {
        "recipe_digest": plan.recipe.digest,
        **plan.dataset.provenance,
        "classes": list(plan.classes),
        "started_from": None if state.init_checkpoint is None else file_digest(state.init_checkpoint),
        "taught_by": [file_digest(each.file) for each in teachers],
        **({"outputs": outputs} if plan.recipe.outputs else {}),
        **target_fingerprints(plan.recipe, plan.dataset),
        **({"not_of_the_recipe": own} if own else {}),
    }


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as ``"sha256:..."``. Raises :class:`RunError` if it is missing."""
    if not path.is_file():
        raise RunError(f"{path} is missing. Training writes it after an epoch.", code="weights-unreadable")
    return f"sha256:{file_sha256(path)}"


def load_init_weights(network: Network, outputs: Sequence[Output], init_from: RunFolder) -> None:
    """Load a trained run's weights for fine-tuning; RunError for another network. Head rows are matched by class and
    output (the label's under any name, others by name); others stay random.
    """
    tensors, facts = checkpoint.load(init_from.best)
    own = network.state_dict()
    known = checkpoint.head_rows(facts)
    wanted = [key for output in outputs for key in checkpoint.row_keys(output.name, output.target, output.classes)]
    if not network.head.weight.requires_grad and known != wanted:
        words = f"{init_from.path} does not end in a linear layer: only the same classes and outputs can be tuned."
        raise RunError(words, code="model-setting")
    for name in ("head.weight", "head.bias"):
        trained, fresh = tensors[name], own[name].clone()
        for row, key in enumerate(wanted):
            if key in known and trained.shape[1:] == fresh.shape[1:]:
                fresh[row] = trained[known.index(key)]
        tensors[name] = fresh
    checkpoint.load_matching(network, tensors, init_from.best)


def save_epoch(state: TrainingState, run: RunFolder, facts: dict[str, Any], environment: Mapping[str, Any]) -> None:
    """Write the files after an epoch, in the first process; create the run folder if it is missing. Raises RunError."""
    if not state.fabric.is_global_zero:
        return
    if state.cross_validation is not None:
        facts["cross_validation"] = state.cross_validation
    if len(state.history) == 1 or not run.is_run:  # somebody may have removed the folder
        run.create(state.recipe, {**environment, **facts, **state.fabric.facts})
    tensors = (
        checkpoint.pack("model", state.network.state_dict())
        | checkpoint.pack("average", state.average.tensors)
        | checkpoint.pack("optimizer", checkpoint.optimizer_tensors(state.optimizer))
    )
    for head in state.heads:
        tensors |= head.tensors()
    checkpoint.save(run.last, tensors, {**facts, "history": state.history})
    _save_best(state, run, facts)


def _save_best(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> None:
    if best_epoch(state.history, state.recipe) == len(state.history):
        with state.average.in_place():
            checkpoint.save(run.best, state.network.state_dict(), {**facts, "epoch": len(state.history)})
    write_text(run.path / "history.csv", history_to_csv(state.history))


def check_resumable(run: RunFolder, recipe: Recipe, *, tunes: bool) -> None:
    """Raise RunError if a run has no checkpoint or another recipe; ``tunes`` is True if --from is given."""
    if not (run.last.is_file() or run.best.is_file() or run.read_history()):
        return  # the process was killed while writing the files of the first epoch
    if run.best.is_file() and not run.last.is_file():
        words = f"{run.path} has no checkpoint to resume, only weights. Fine-tune it with --from."
        raise RunError(words, code="run-other")
    former, wanted = completed(run.read_recipe()), completed(recipe)
    own, given = former.model, wanted.model
    if own.file and given.file and own.settings["file_sha256"] != given.settings["file_sha256"]:
        words = f"{given.file} has changed since {run.path} began. Resume with {run.recipe_file}, or change --out."
        raise RunError(words, code="model-file")
    if former.digest != wanted.digest:
        before, now = dotted(former.model_dump(mode="json")), dotted(wanted.model_dump(mode="json"))
        differing = [key for key in now | before if key != "name" and now.get(key) != before.get(key)]
        tuned = not tunes and starts_from_scratch(former.model) and run.read_environment().get("started_from")
        how = "from another model, and --from is missing" if tuned else "by another recipe"
        words = f"{run.path} was trained {how} (other {', '.join(differing[:4])}). Resume with {run.recipe_file}, "
        raise RunError(f"{words}train on with --from {run.path}, or choose another --out.", code="run-other")


def restore(state: TrainingState, run: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """Restore the state after the run's last finished epoch, and return its metadata; RunError if it does not match.
    After the first epoch, initial weights are only named, not needed.
    """
    check_resumable(run, state.recipe, tunes=state.init_checkpoint is not None)
    if not run.last.is_file():
        return facts
    tensors, kept = checkpoint.load(run.last)
    if not state.plan.dataset.matches_training_data(kept["data_fingerprint"]):
        raise _trained_with_other("data", run)
    names = {"votes": "votes_fingerprint", "ratings": "ratings_fingerprint", "parts": "not_of_the_recipe"}
    for what, name in {**names, "teachers": "taught_by"}.items():
        own, given = (each.get(name) or "none" for each in (kept, facts))
        # Teachers are averaged: another order changes roundings at most.
        if (sorted(own) != sorted(given)) if what == "teachers" else (own != given):
            raise _trained_with_other(what, run, f" ({', '.join(own) if isinstance(own, list) else own})")
    started_from = kept.get("started_from")
    if state.init_checkpoint is not None and started_from != facts["started_from"]:
        raise _trained_with_other("weights", run, f" ({started_from or 'drawn at random'})")
    facts = facts | {name: kept[name] for name in ("started_from", "taught_by", "cross_validation") if name in kept}
    checkpoint.load_matching(state.network, checkpoint.unpack("model", tensors), run.last)
    state.average.restore(checkpoint.unpack("average", tensors))
    checkpoint.restore_optimizer(state.optimizer, checkpoint.unpack("optimizer", tensors))
    for head in state.heads:
        head.restore(tensors)
    state.history = kept["history"]
    # The process may have been killed just after it wrote the checkpoint.
    if state.fabric.is_global_zero:
        _save_best(state, run, facts)
    return facts


def _trained_with_other(what: str, run: RunFolder, own: str = "") -> RunError:
    words = f"{run.path} was trained with other {what}{own}; resume it with those, or choose another --out."
    return RunError(words, code="run-other")


MIN_AGREEMENT = 0.9
"""If fewer labels than this fraction are equal, the predictions are for other data. A label review changes fewer than a
tenth; on other data, about a quarter would be equal by chance."""


def teacher_targets(
    recipe: Recipe, outputs: Sequence[Output], teachers: Sequence[Teacher], faces: Dataset
) -> list[Floats | None]:
    """Compute the mean prediction of teachers, for the label's output and each other output of the same name.

    ``faces`` are those of an epoch in its order, with the student's classes. Repeated or relabelled faces use the soft
    label of their row. Returns for each output float64 (N, classes), None if no teacher has it; those for the label's
    output are softened by the temperature T: p^(1/T), rescaled.

    Raises DataError: soft labels for other classes or data, or a face without a soft label.
    """
    known = [(each.file, read_predictions(each.predictions)) for each in teachers]
    # Predictions with the student's classes have its scheme already.
    scheme = parse_scheme(recipe.classes)
    labels = [
        (path, each if set(each.classes) == set(faces.classes) else each.with_scheme(scheme)) for path, each in known
    ]
    stored: list[Floats | None] = [soft_labels(labels, faces, recipe.distill.temperature)]
    for output in outputs[1:]:
        taught, values = [], []
        for (path, each), (_, shown) in zip(known, labels, strict=True):
            votes = each.votes
            if votes is not None and votes.output == output.name and votes.probabilities is not None:
                # The label scheme may drop samples. A label scheme always drops votes, so take those from before.
                kept = np.isin(each.sample_ids, shown.sample_ids)
                taught.append((path, shown))
                values.append(votes.probabilities[kept][:, _columns(str(path), votes.classes, output.classes)])
        stored.append(_mean_by_row(taught, values, faces) if taught else None)
    return stored


def soft_labels(predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, temperature: float) -> Floats:
    """Average the softened predictions for each face over the teachers that have its row, float64 (N, C); folds are
    thus combined. Raises DataError: other classes or data, or a face without predictions.
    """
    softened = []
    for path, each in predictions:
        columns = _columns(str(path), each.classes, faces.classes)
        softened.append(apply_temperature(each.probabilities, temperature)[:, columns])
    return _mean_by_row(predictions, softened, faces)


def _mean_by_row(predictions: Sequence[tuple[Path, Predictions]], values: Sequence[Floats], faces: Dataset) -> Floats:
    total = np.zeros((len(faces), values[0].shape[1]))
    known = np.zeros(len(faces), dtype=np.int64)
    for (path, teacher), own in zip(predictions, values, strict=True):
        order = np.argsort(teacher.sample_ids)
        place = order[np.searchsorted(teacher.sample_ids, faces.rows, sorter=order).clip(max=len(teacher) - 1)]
        has = teacher.sample_ids[place] == faces.rows
        named = np.array(teacher.classes)[teacher.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < MIN_AGREEMENT:
            words = f"{path} is for other data: only {named[has].mean():.0%} of its labels are equal. "
            words += "Give the model itself as teacher."
            raise DataError(words, code="teacher")
        total[has] += own[place[has]]
        known += has
    if not known.all():
        words = f"{', '.join(str(path) for path, _ in predictions)}: no prediction for {(known == 0).sum():,} of "
        words += f"{len(faces):,} train faces, such as row {faces.rows[known == 0][0]}. Give the model as teacher."
        raise DataError(words, code="teacher")
    return np.asarray(total / known[:, None])


def _columns(name: str, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    if set(known) != set(wanted):
        words = f"The teacher {name} has the classes {', '.join(known)}; it needs the student's: {', '.join(wanted)}."
        raise DataError(words, code="teacher")
    return [known.index(each) for each in wanted]
