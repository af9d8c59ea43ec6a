"""``mien distill``: train a student on teachers' predictions. Everything else is as in ``mien train``."""

from mien.cli.train_run import TrainOptions, train_and_show


def distill(
    options: TrainOptions,
    *,
    teachers: list[str],
    tta: int = 10,
    json: bool = False,
) -> None:
    """Train a student on the predictions of teachers, export it, and evaluate it on the validation split.

    Each teacher predicts the train split once; its predictions are kept in the cache.

    Options:
        teachers (MODEL|FILE): A model (as for --model), or a predictions file of the train split. Can be repeated;
            teachers are averaged.
        tta (N): Views of each face over which a teacher's predictions are averaged: 1, 2 (also mirrored), 5 (also
            corners) or 10 (both).
    """
    train_and_show(options, options.plain.changes(options.settings), teachers, tta, json=json)
