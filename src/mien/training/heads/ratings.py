"""Head for ratings of valence and arousal."""

import numpy as np
from torch import Tensor

from mien.base.errors import DataError
from mien.base.heads import NAMES
from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.data.votes import read_ratings
from mien.evaluation.metrics import Floats, concordance
from mien.training.batches import Batch
from mien.training.heads.head import Head
from mien.training.losses import as_tensor


class AffectHead(Head):
    """An output for ratings of valence and arousal. The loss is the mean of 1 - CCC over both, on rated images."""

    chance = 1.0

    def __post_init__(self) -> None:
        self.ratings = as_tensor(_ratings(self.dataset), self.device)

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        _ratings(dataset)
        return NAMES

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`. A mixed image is used only if both of its images have ratings."""
        assert self.ratings is not None
        ratings = batch.mixed(self.ratings)
        known = ~ratings.isnan()
        weights = known / known.sum(0).clamp_min(1)
        x, y = self.values(logits), ratings.nan_to_num()
        covariance = (weights * (x - (weights * x).sum(0)) * (y - (weights * y).sum(0))).sum(0)
        # This is the sum of both variances and of the squared difference of the means.
        spread = (weights * (x - y).square()).sum(0) + 2 * covariance
        return (1 - 2 * covariance / spread.clamp_min(1e-8)).mean()

    def values(self, logits: Tensor) -> Tensor:
        """See :class:`Head`."""
        return logits.tanh()

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`."""
        pairs = zip(NAMES, values.T, _ratings(validation).T, strict=True)
        return {f"validation_{name}_ccc": concordance(own, rated) for name, own, rated in pairs}


def _ratings(dataset: Dataset) -> Floats:
    ratings = read_ratings(dataset, NAMES)
    blank = [name for at, name in enumerate(NAMES) if ratings is None or np.isnan(ratings[:, at]).all()]
    if ratings is None or blank:
        words = f"The {dataset.split[0]} split has no ratings, -1 to 1, in the columns {' and '.join(blank)}."
        raise DataError(words, code="ratings-missing")
    return ratings
