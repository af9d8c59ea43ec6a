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
        tta (N): Teachers: Test-time augmentation: average over 1, 2 (with the mirror image) or 10 (with corner crops)
            views.
    """
    train_and_show(options, options.plain.changes(options.settings), teachers, tta, json=json)
