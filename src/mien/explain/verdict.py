"""Which methods may be believed on a model: both checks, with their thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.evaluation.results import Estimate
from mien.explain.faithfulness import Faithfulness

LEAST_GAIN = 0.0
"""The interval of the deletion gain must lie above this: the map beats maps that know nothing, and not by chance."""

LARGEST_CORRELATION = 0.5
"""The interval of the rank correlation with the maps of the wholly randomised network must lie below this.

Adebayo et al. name no number. At .5 a quarter (r squared) of the variation of the ranks is still that of a network
that has learnt nothing; a map with more is too much the picture's own. The structural similarity is shown but does
not decide: it is high wherever two maps are both empty.
"""


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How alike a method's maps are before and after the network's layers were randomised from the top.

    Attributes:
        faces: N.
        layers: L names; at each depth the lowest layer that is randomised, the head first.
        spearman: float64 (L,), mean rank correlation over faces at each depth, -1..1.
        ssim: float64 (L,), mean structural similarity.
        final_spearman, final_ssim: with all layers randomised, with an interval over faces.
    """

    faces: int
    layers: tuple[str, ...]
    spearman: npt.NDArray[np.float64]
    ssim: npt.NDArray[np.float64]
    final_spearman: Estimate
    final_ssim: Estimate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "faces": self.faces,
            "layers": list(self.layers),
            "spearman": self.spearman.tolist(),
            "ssim": self.ssim.tolist(),
            "final_spearman": self.final_spearman.to_dict(),
            "final_ssim": self.final_ssim.to_dict(),
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a method's maps may be believed on a model.

    Attributes:
        faithful: deletion beats maps that know nothing of the face.
        learnt: maps change when the learning is undone; None where that was not checked (no weights at hand).
        reason: both in words.
    """

    faithful: bool
    learnt: bool | None
    reason: str

    @property
    def passes(self) -> bool:
        """Faithful, and not found to be independent of the learning."""
        return self.faithful and self.learnt is not False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"passes": self.passes, "faithful": self.faithful, "learnt": self.learnt, "reason": self.reason}


def judge(faithfulness: Faithfulness, randomisation: Randomisation | None = None) -> Verdict:
    """Apply :data:`LEAST_GAIN` and :data:`LARGEST_CORRELATION` to a method's two checks on one model."""
    gain = faithfulness.deletion_gain
    faithful = gain.low > LEAST_GAIN
    relation = "better than" if faithful else "not clearly better than"
    reason = (
        f"deletion is {relation} {faithfulness.baseline} maps: gain {gain.value:.3f} "
        f"({gain.low:.3f} to {gain.high:.3f})"
    )
    if randomisation is None:
        return Verdict(faithful, None, f"{reason}; randomisation was not checked")
    likeness = randomisation.final_spearman
    learnt = likeness.high < LARGEST_CORRELATION
    relation = "change with" if learnt else "do not change enough with"
    reason += (
        f"; maps {relation} the weights: rank correlation with a randomised network's "
        f"{likeness.value:.2f} ({likeness.low:.2f} to {likeness.high:.2f})"
    )
    return Verdict(faithful, learnt, reason)
