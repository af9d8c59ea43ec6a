"""What a ranking of suspects is worth, against evidence that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import needs_extra

DEPTHS: tuple[int, ...] = (100, 500, 1000)


@dataclass(frozen=True)
class AtDepth:
    """Of the highest ``samples`` of the ranking, ``hits`` are confirmed by the evidence."""

    samples: int
    hits: int


@dataclass(frozen=True)
class RankingWorth:
    """How a ranking fares.

    Attributes:
        samples: those with evidence.
        positive: those of them that the evidence says are suspects: what a random ranking finds is their share.
        depths: hits among the highest 100, 500 and 1,000 samples, as far as there are so many.
        auc: how often a suspect is ranked above a sample that is none, a tie counting half; NaN without both kinds.
    """

    samples: int
    positive: int
    depths: tuple[AtDepth, ...]
    auc: float


def ranking_worth(
    suspicion: npt.NDArray[np.float64], evidence: npt.NDArray[np.bool_], depths: Sequence[int] = DEPTHS
) -> RankingWorth:
    """Compare a ranking with evidence.

    Args:
        suspicion: float (N,), the higher the more suspicious; equal ones keep the order of the samples.
        evidence: bool (N,), True for a suspect.
        depths: how far down to count.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with needs_extra("audit", "The audit"):
        from sklearn.metrics import roc_auc_score
    order = np.argsort(-suspicion, kind="stable")
    positive = int(evidence.sum())
    both = 0 < positive < len(evidence)
    return RankingWorth(
        samples=len(evidence),
        positive=positive,
        depths=tuple(AtDepth(depth, int(evidence[order[:depth]].sum())) for depth in depths if depth <= len(evidence)),
        auc=float(roc_auc_score(evidence, suspicion)) if both else float("nan"),
    )
