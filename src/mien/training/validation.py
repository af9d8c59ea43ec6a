"""Validation of a network after each epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn

from mien.base.heads.votes import answering
from mien.base.preprocess import to_input
from mien.base.progress import slices
from mien.base.run_folder import HistoryLine
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation import metrics
from mien.evaluation.ferplus import distribution_cross_entropy, majority_accuracy
from mien.models.network import Network
from mien.training.average import recalibrate_bn
from mien.training.device import part_of_process, share_first, sum_of_processes
from mien.training.plan import TrainingPlan
from mien.training.state import TrainingState

_BATCH = 512


def predict_probabilities(model: nn.Module, fabric: Fabric, plan: TrainingPlan) -> list[npt.NDArray[np.float64]]:
    """Compute class probabilities of each output for the validation split, with the torch model in evaluation mode.

    Returns:
        For each output of the plan, the label's first, float64 (N, classes).
    """
    model.eval()
    images, spec = plan.validation.images, plan.recipe.input
    sizes = [len(output.classes) for output in plan.outputs]
    part = part_of_process(len(images), fabric)
    # Each process fills its part of zeros, so the sum is exact.
    whole = torch.zeros((len(images), sum(sizes)), dtype=torch.float64)
    with torch.inference_mode():
        for first in range(part.start, part.stop, _BATCH):
            rows = slice(first, min(first + _BATCH, part.stop))
            inputs = fabric.to_device(torch.from_numpy(to_input(np.asarray(images[rows]), spec)))
            logits = model(inputs.contiguous(memory_format=torch.channels_last)).float().cpu().double()
            whole[rows] = torch.cat([each.softmax(1) for each in logits.split(sizes, dim=1)], dim=1)
    found = torch.split(sum_of_processes(fabric, whole), sizes, dim=1)
    return [np.ascontiguousarray(each.numpy()) for each in found]


@torch.inference_mode()
def accuracies_by_norms(network: Network, images: npt.NDArray[np.uint8], plan: TrainingPlan) -> tuple[float, float]:
    """Compute the validation accuracy, 0..1, with the batch norms' own statistics and with those of train images.

    Args:
        network: network on the CPU with only the label's output; its statistics are changed.
        images: uint8 (N, size_px, size_px[, 3]), at least two.
        plan: recipe and data.
    """

    def accuracy() -> float:
        right = 0
        for part in slices(len(plan.validation), 256):
            inputs = to_input(np.asarray(plan.validation.images[part]), plan.recipe.input)
            answers = network(torch.from_numpy(inputs)).argmax(1).numpy()
            right += int((answers == plan.validation.labels[part]).sum())
        return right / len(plan.validation)

    own = accuracy()
    recalibrate_bn(network, images, plan.recipe.input)
    return own, accuracy()


def validate(state: TrainingState) -> HistoryLine:
    """Return the history's validation columns, for the label's output and any answering output for votes."""
    plan, recipe = state.plan, state.recipe
    # On CPUs each process's batch norms saw only its part of a batch, so copy the first one's.
    share_first(state.fabric, (*state.network.buffers(), *state.average.tensors.values()))
    with state.average.in_place():
        # Frozen norms keep their statistics, because the layers above train with them.
        if state.recalibration_images is not None and len(state.history) >= recipe.tuning.frozen_epochs:
            recalibrate_bn(state.network, state.recalibration_images, recipe.input, through=state.model)
            state.average.take_statistics()
        predicted = predict_probabilities(state.model, state.fabric, plan)
    probabilities, labels = predicted[0], plan.validation.labels
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), len(plan.validation.classes))
    rows = metrics.support(confusion)
    line = {
        "validation_loss": metrics.log_loss(labels, probabilities),
        "validation_accuracy": float(metrics.accuracy(confusion)),
        "validation_macro_f1": float(metrics.macro_average(metrics.f1(confusion), rows)),
        "validation_macro_auc": float(metrics.macro_average(metrics.roc_auc(labels, probabilities), rows)),
    }
    answer = answering([output.target for output in plan.outputs])
    if plan.outputs[answer].learns_votes:
        votes = check_votes(plan.validation)
        classes = plan.validation.vote_classes
        voted = votes.any(axis=1)
        shares = vote_probabilities(votes[voted])
        line["validation_votes_loss"] = distribution_cross_entropy(shares, predicted[answer][voted])
        line["validation_majority_accuracy"] = majority_accuracy(votes, predicted[answer], classes)
    return line
