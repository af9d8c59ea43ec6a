"""Oracle: what matplotlib was asked to plot, and numbers by hand."""

import math

from mien.runs.sweep_result import (
    TrialResult,
    best_first,
    best_trial,
    trials_table,
)


def line(number, outcome="complete", accuracy=0.5, **values):
    given = {"optim.lr": 0.1, "a <b>": 1.0, "name": "x", **values}
    return TrialResult(number, outcome, accuracy, 3, 12.5, given)


TRIALS = [
    line(0, accuracy=0.4),
    line(1, "pruned", 0.9, name=3),
    line(2, accuracy=0.6, name=[1]),
    line(4, "diverged", math.nan),
    line(5, accuracy=0.6),
]


def test_the_best_is_the_first_of_the_most_accurate_that_ran_to_their_end():
    assert [trial.number for trial in best_first(TRIALS)] == [2, 5, 0, 1, 4]
    assert best_trial(TRIALS).number == 2
    assert best_trial(TRIALS[1:2]) is None


def test_the_table_holds_every_number_as_it_is():
    table = trials_table([line(0, **{"optim.lr": 0.123456789})], ["optim.lr", "name"])
    assert table.to_csv().decode().splitlines() == [
        "trial,outcome,accuracy,epochs,seconds,optim.lr,name",
        "0,complete,0.5,3,12.5,0.123456789,x",
    ]
    assert [column.show(value) for column, value in zip(table.columns, table.rows[0], strict=True)][-2:] == [
        "0.1235",
        "x",
    ]
