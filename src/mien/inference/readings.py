"""What a classifier says about one face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.labels import positive_class


@dataclass(frozen=True)
class Reading:
    """The expression in one picture of a face, as a classifier reads it. It is no statement of what anybody feels.

    Attributes:
        source: the file, or ``"image 3"`` for an array.
        classes: class names.
        scores: float64 (C,), the probability of each class; they sum to 1.
        threshold: between two classes; None reads the likelier one.
    """

    source: str
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    threshold: float | None = None

    @property
    def top(self) -> str:
        """The likeliest class; with a threshold, the positive class from that probability up, else the other."""
        return self.classes[self._top]

    @property
    def confidence(self) -> float:
        """Probability of that class, 0..1."""
        return float(self.scores[self._top])

    @property
    def _top(self) -> int:
        if self.threshold is None:
            return int(self.scores.argmax())
        positive = positive_class(self.classes)
        return positive if self.scores[positive] >= self.threshold else 1 - positive

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
