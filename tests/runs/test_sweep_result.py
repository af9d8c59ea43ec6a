"""Oracle: numbers by hand."""

import math
from pathlib import Path

from mien.runs.sweep_result import SweepResult, TrialResult, best_first


def line(number, outcome="complete", accuracy=0.5):
    return TrialResult(number, outcome, accuracy, 3, 12.5, {"optim.lr": 0.1})


TRIALS = (line(0, accuracy=0.4), line(1, "pruned", 0.9), line(2, accuracy=0.6), line(4, "diverged", math.nan),
          line(5, accuracy=0.6))  # fmt: skip


def test_the_best_is_the_first_of_the_most_accurate_that_ran_to_their_end():
    assert [trial.number for trial in best_first(TRIALS)] == [2, 5, 0, 1, 4]
    assert SweepResult(Path(), TRIALS, 5).best.number == 2
    assert SweepResult(Path(), TRIALS[1:2], 5).best is None
