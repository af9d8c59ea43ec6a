"""Which methods may be believed on a model: both checks, with their thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.evaluation.results import Estimate, JsonResult
from mien.explanation.faithfulness import Faithfulness

LEAST_FACES = 20
"""With fewer faces in either check there is no verdict: an interval over one face has no width."""

LEAST_GAIN = 0.0
"""The interval of the deletion gain must lie above this: the map beats maps that know nothing, and not by chance.

That of the insertion gain must not lie below it: such a map would be worse than maps that know nothing.
"""

LARGEST_CORRELATION = 0.5
"""The interval of the rank correlation with the maps of the wholly randomised network must lie below this.

Adebayo et al. name no number. At 0.5 a quarter (r squared) of the variation of the ranks is still that of a network
that has learnt nothing; a map with more is too much the image's own. The structural similarity is shown but does
not decide: it is high wherever two maps are both empty.
"""


@dataclass(frozen=True, eq=False)
class RandomizationTest(JsonResult):
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


@dataclass(frozen=True)
class Verdict:
    """Whether a method's maps may be believed on a model.

    Attributes:
        faithful: deletion beats maps that know nothing of the face, and insertion is not beaten by them.
        learnt: maps change when the learning is undone; None where that was not checked (no weights at hand).
        faces: in the check that has fewer.
        reason: both in words.
    """

    faithful: bool
    learnt: bool | None
    faces: int
    reason: str

    @property
    def decided(self) -> bool:
        """Whether there were faces enough."""
        return self.faces >= LEAST_FACES

    @property
    def passes(self) -> bool:
        """Faithful, and not found to be independent of the learning, on enough faces."""
        return self.decided and self.faithful and self.learnt is not False

    @property
    def word(self) -> str:
        """``"passes"``, ``"fails"`` or ``"undecided"``."""
        return "passes" if self.passes else "fails" if self.decided else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "verdict": self.word,
            "passes": self.passes,
            "faithful": self.faithful,
            "learnt": self.learnt,
            "faces": self.faces,
            "reason": self.reason,
        }


def judge(faithfulness: Faithfulness, randomisation: RandomizationTest | None = None) -> Verdict:
    """Apply :data:`LEAST_FACES`, :data:`LEAST_GAIN` and :data:`LARGEST_CORRELATION` to a method's checks on a model."""
    gain, inserted = faithfulness.deletion_gain, faithfulness.insertion_gain
    better, worse = gain.low > LEAST_GAIN, inserted.high < LEAST_GAIN
    reason = (
        f"deletion is {'better than' if better else 'not clearly better than'} {faithfulness.baseline} maps: gain "
        f"{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
    )
    if worse:
        reason += f"; insertion is worse: gain {inserted.value:.3f} ({inserted.low:.3f} to {inserted.high:.3f})"
    faces, learnt = faithfulness.faces, None
    if randomisation is None:
        reason += "; randomisation was not checked"
    else:
        faces, likeness = min(faces, randomisation.faces), randomisation.final_spearman
        learnt = likeness.high < LARGEST_CORRELATION
        reason += (
            f"; maps {'change with' if learnt else 'do not change enough with'} the weights: rank correlation with a "
            f"randomised network's {likeness.value:.2f} ({likeness.low:.2f} to {likeness.high:.2f})"
        )
    if faces < LEAST_FACES:
        reason = f"undecided, {faces} faces where {LEAST_FACES} are needed; {reason}"
    return Verdict(better and not worse, learnt, faces, reason)
