"""Output trained on people's ratings of valence and arousal."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from mien.base.heads.label import Floats, LabelHead

NAMES = ("valence", "arousal")
"""Names of the two values, -1 (unpleasant or calm) to 1, in data, tables and JSON."""


@dataclass(frozen=True)
class AffectHead(LabelHead):
    """A network output whose values are ratings; :attr:`classes` are their names."""

    answers: ClassVar[bool] = False

    def values(self, logits: npt.NDArray[np.float32], temperature: float | None = None) -> Floats:
        """Compute ratings, -1..1, from logits, float32 (N, 2) -> float64 (N, 2). Ratings need no temperature."""
        return np.tanh(logits.astype(np.float64))
