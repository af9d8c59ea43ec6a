"""Several models' answers as those of one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.evaluation.compare import match_rows
from mien.evaluation.scores import Scores


def average_scores(several: Sequence[Scores]) -> Scores:
    """Mean probabilities of one or more models on the same rows, in ascending order of the rows.

    Raises:
        DataError: they are not of the same rows, labels, classes and data (where both know their data).
    """
    matched = [match_rows(several[0], scores) for scores in several]
    return replace(matched[0][0], probabilities=np.mean([second.probabilities for _, second in matched], axis=0))
