"""``mien distill``: train a student on teachers' predictions. Everything else is as in ``mien train``."""

from typing import Annotated

from mien.cli.options import TTA_HELP, JsonOption, option
from mien.cli.train_run import TrainOptions, train_and_show

TEACHERS_HELP = (
    "A model (as for --model), or a predictions file of the train split. Can be repeated; teachers are averaged."
)


def distill(
    options: TrainOptions,
    teachers: Annotated[list[str], option(TEACHERS_HELP, "MODEL|FILE")],
    tta: Annotated[int, option(f"Teachers: {TTA_HELP}", "N")] = 10,
    json: JsonOption = False,
) -> None:
    """Train a student on the predictions of teachers, export it, and evaluate it on the validation split.

    Each teacher predicts the train split once; its predictions are kept in the cache.
    """
    train_and_show(options, options.plain.changes(options.set_keys), teachers, tta, json=json)
