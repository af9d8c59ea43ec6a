"""What a classifier says about one face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Reading:
    """The expression in one picture of a face, as a classifier reads it. It is no statement of what anybody feels.

    Attributes:
        source: the file, or ``"image 3"`` for an array.
        classes: class names.
        scores: float64 (C,), the probability of each class; they sum to 1.
    """

    source: str
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float64]

    @property
    def top(self) -> str:
        """The likeliest class."""
        return self.classes[int(self.scores.argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the likeliest class, 0..1."""
        return float(self.scores.max())

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of every class by name."""
        return dict(zip(self.classes, self.scores.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: source, top, confidence and probabilities."""
        return {
            "source": self.source,
            "top": self.top,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
        }
