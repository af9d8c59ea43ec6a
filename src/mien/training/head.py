"""A linear head on frozen features of a trained network: logistic regression in seconds, for few images.

Method: Kornblith, Shlens & Le, Do Better ImageNet Models Transfer Better?, CVPR 2019, section 3. The method is L-BFGS
with an L2 penalty. Here cross-validation chooses the penalty from a few values.
"""

import numpy as np
import torch
from torch import Tensor

from mien.base.preprocess import to_input
from mien.base.progress import slices, track
from mien.base.run_folder import HistoryLine
from mien.data.splits import count_by_group, deal_groups, split_groups
from mien.training.device import sum_dtype
from mien.training.state import TrainingState

FOLDS = 5
PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
_CROSS_VALIDATED = 5000
"""The penalty is chosen on at most this number of images."""
_BATCH = 256


def fit_head(state: TrainingState) -> HistoryLine:
    """Fit the head on train, with ``augment.flip`` also mirrored; return train columns. Sets ``cross_validation``."""
    views = _features(state)
    mean, scale = views[0].mean(0), views[0].std(0).clamp_min(1e-6)
    views = (views - mean) / scale
    weight, bias = _fit(state, views, state.labels, _choose_penalty(state, views), exact=True)
    logits = views[0] @ weight.T + bias
    loss = float(state.label_loss(logits.float(), state.labels))
    with torch.no_grad():
        state.network.head.weight.copy_(weight / scale)
        state.network.head.bias.copy_(bias - weight @ (mean / scale))
    accuracy = int((logits.argmax(1) == state.labels).sum()) / len(state.labels)
    return {"learning_rate": 0.0, "train_loss": loss, "train_accuracy": accuracy}


def _features(state: TrainingState) -> Tensor:
    """Compute features of the train images, and with ``augment.flip`` of their mirror images: (1 or 2, N, D)."""
    network, device = state.network.eval(), state.fabric.device
    found: list[Tensor] = []
    parts = slices(len(state.images), _BATCH)
    with torch.inference_mode():
        for part in track(parts, len(parts), "computing features", "batches"):
            images = torch.from_numpy(to_input(state.images[part].cpu().numpy(), state.recipe.input)).to(device)
            views = (images, images.flip(3)) if state.recipe.augment.flip else (images,)
            shown = [network.features(view.contiguous(memory_format=torch.channels_last)) for view in views]
            found.append(torch.stack(shown).to(sum_dtype(device)))
    return torch.cat(found, dim=1).clone()


def _choose_penalty(state: TrainingState, views: Tensor) -> float:
    """Lower the penalty while that lowers the cross-validated loss; the largest if samples are too few for folds."""
    faces = state.plan.balanced_train
    faces = faces.subset(chosen := np.sort(np.random.default_rng(0).permutation(len(faces))[:_CROSS_VALIDATED]))
    groups = split_groups(faces.images, faces.groups)
    groups_of_class = (count_by_group(groups, faces.labels)[2] > 0).sum(axis=0)
    folds = min(FOLDS, int(groups_of_class[groups_of_class > 0].min()))
    if folds < 2:
        return PENALTIES[0]
    indices = torch.from_numpy(chosen)
    fold_of = torch.from_numpy(deal_groups(groups, faces.labels, folds))
    labels, views = state.labels[indices], views[:, indices]
    best = (float("inf"), 0.0, PENALTIES[0])
    for penalty in PENALTIES:
        logits = torch.zeros(len(labels), len(state.plan.classes), dtype=views.dtype, device=views.device)
        for fold in range(folds):
            kept, held = fold_of != fold, fold_of == fold
            weight, bias = _fit(state, views[:, kept], labels[kept], penalty)
            logits[held] = views[0, held] @ weight.T + bias
        loss = float(state.label_loss(logits, labels))
        if loss >= best[0]:
            break  # with less penalty it rises further
        best = loss, int((logits.argmax(1) == labels).sum()) / len(labels), penalty
    # The penalty was chosen on the same folds, so this accuracy is slightly optimistic.
    state.cross_validation = {"accuracy": best[1], "images": len(labels), "folds": folds, "penalty": best[2]}
    return best[2]


def _fit(
    state: TrainingState, views: Tensor, labels: Tensor, penalty: float, exact: bool = False
) -> tuple[Tensor, Tensor]:
    """Minimise the run's loss over all views plus the penalty by L-BFGS; return weight (C, D) and bias (C,)."""
    features, labels = views.flatten(0, 1), labels.repeat(len(views))
    weight = features.new_zeros(len(state.plan.classes), features.shape[1]).requires_grad_()
    bias = features.new_zeros(len(state.plan.classes)).requires_grad_()
    steps, gradient, change = (2000, 1e-9, 1e-15) if exact else (100, 1e-7, 1e-9)
    optimizer = torch.optim.LBFGS(
        [weight, bias], 1.0, steps, tolerance_grad=gradient, tolerance_change=change, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = state.label_loss(features @ weight.T + bias, labels) + penalty * weight.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
