"""Head for labels."""

import torch
from torch import Tensor
from torch.nn import functional

from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.evaluation import metrics
from mien.evaluation.metrics import Floats
from mien.training.batches import Batch
from mien.training.device import TrainingFabric
from mien.training.heads.head import Head
from mien.training.losses import Loss
from mien.training.self_adaptive import SelfAdaptive


class LabelHead(Head):
    """An output for labels.

    Attributes:
        moving: self-adaptive targets, if the recipe enables them.
    """

    moving: SelfAdaptive | None = None

    def __post_init__(self) -> None:
        self.labels = torch.from_numpy(self.dataset.labels.copy()).to(self.device)
        # Self-adaptive targets work only with mien's own loss.
        if self.recipe.self_adaptive and isinstance(self.label_loss, Loss):
            self.moving = SelfAdaptive(self.labels, len(self.output.classes), self.recipe, self.label_loss)

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        return dataset.classes

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`."""
        if self.moving is not None:
            return self.distilled(self.moving.loss(logits, batch, progress), logits, batch)
        loss = self.label_loss(logits, self.labels[batch.chosen])
        if batch.partner is not None:
            loss = batch.lam * loss + (1 - batch.lam) * self.label_loss(logits, self.labels[batch.partner])
        return self.distilled(loss, logits, batch)

    def distilled(self, hard: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Compute ``alpha * T^2 * KL(taught || softmax(logits / T)) + (1 - alpha) * hard``.

        T^2 keeps the size of the gradient independent of T (Hinton, Vinyals & Dean 2015, section 2).
        """
        if self.taught is None:
            return hard
        alpha, temperature = self.recipe.distill.alpha, self.recipe.distill.temperature
        targets = batch.mixed(self.taught)
        soft = functional.kl_div((logits / temperature).log_softmax(1), targets, reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * hard

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`."""
        labels = validation.labels
        confusion = metrics.confusion_matrix(labels, values.argmax(1), len(validation.classes))
        rows = metrics.support(confusion)
        return {
            "validation_loss": metrics.log_loss(labels, values),
            "validation_accuracy": float(metrics.accuracy(confusion)),
            "validation_macro_f1": float(metrics.macro_average(metrics.f1(confusion), rows)),
            "validation_macro_auc": float(metrics.macro_average(metrics.roc_auc(labels, values), rows)),
        }

    def tensors(self) -> dict[str, Tensor]:
        """See :class:`Head`."""
        return {} if self.moving is None else {"targets.label": self.moving.moving}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`Head`."""
        if self.moving is not None:
            self.moving.restore(tensors["targets.label"])

    def exchange(self, fabric: TrainingFabric) -> None:
        """See :class:`Head`."""
        if self.moving is not None:
            self.moving.exchange(fabric)
