"""Head for annotators' votes."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.metrics import Floats, majority_accuracy, sample_cross_entropies
from mien.training.batches import Batch
from mien.training.heads.head import Head


class VotesHead(Head):
    """An output for annotators' votes: their distribution, their majority, or one vote drawn in each epoch.

    Attributes:
        targets: distributions of an epoch, float32 (N, V). Images without votes have zeros, and no loss.
    """

    targets: Tensor

    def __post_init__(self) -> None:
        self._shares = vote_probabilities(check_votes(self.dataset))

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        check_votes(dataset)
        return dataset.vote_classes

    def begin_epoch(self, epoch: int) -> None:
        """See :class:`Head`. Sampled votes are drawn again in each epoch."""
        targets = self._shares
        if self.output.target == "majority":
            targets = majority_targets(targets)
        elif self.output.target == "sampled":
            targets = sampled_targets(targets, self.recipe.seed, epoch)
        self.targets = torch.from_numpy(targets.astype(np.float32)).to(self.device)

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`."""
        return functional.cross_entropy(logits, self.blended(batch))

    def blended(self, batch: Batch) -> Tensor:
        """Mix teachers' predictions of votes with weight ``alpha`` and the votes themselves, float32 (B, V).

        If an image has no votes, only the teachers' predictions are used, so each row sums to 1.
        """
        votes = batch.mixed(self.targets)
        if self.taught is None:
            return votes
        alpha = self.recipe.distill.alpha
        missing = 1 - votes.sum(1, keepdim=True)
        return (alpha + (1 - alpha) * missing) * batch.mixed(self.taught) + (1 - alpha) * votes

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`. Only the default output is measured."""
        if not self.output.answers:
            return {}
        votes = check_votes(validation)
        voted = votes.any(axis=1)
        losses = sample_cross_entropies(vote_probabilities(votes[voted]), values[voted])
        return {
            "validation_votes_loss": float(losses.mean()),
            "validation_majority_accuracy": majority_accuracy(votes, values, validation.vote_classes),
        }


def majority_targets(distributions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give all probability to the class with the most votes, shared between ties. (N, V) -> (N, V)."""
    largest = (distributions == distributions.max(axis=1, keepdims=True)) & (distributions > 0)
    return np.asarray(largest / np.maximum(largest.sum(axis=1, keepdims=True), 1))


def sampled_targets(distributions: npt.NDArray[np.float64], seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """Draw one vote per row from its distribution: probabilistic label drawing of Barsoum et al. 2016.

    (N, V) -> (N, V), with a single 1 in each row that is not all zeros.
    """
    drawn = np.random.default_rng((seed, epoch, 10)).random((len(distributions), 1))
    cumulative = distributions.cumsum(axis=1)
    # Rounding may leave the last cumulative sum below 1, so scale the draw by it.
    chosen = (cumulative <= drawn * cumulative[:, -1:]).sum(axis=1)
    # The extra class is for rows without votes, whose sums never exceed the draw.
    return np.asarray(np.eye(distributions.shape[1] + 1)[chosen, :-1])
