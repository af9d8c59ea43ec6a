"""``mien train --find-lr``: a learning rate to begin with, and nothing written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from mien.api.find_lr import STEPS, LrSearch, search_lr
from mien.api.train import find_job
from mien.cli.output import notice, show, show_json
from mien.cli.train_run import TrainOptions
from mien.errors import DataError
from mien.processes import process_count

_ROWS = 20
_BAR = 40


def find_lr_and_show(options: TrainOptions, changes: Sequence[str], *, json: bool) -> None:
    """Run the range test, and print its suggestion and its curve.

    Raises:
        MienError: as :func:`mien.api.find_lr.find_lr`; options that belong to a run that is written.
    """
    refused = {
        "--out": options.out,
        "--resume": options.resume,
        "--log": options.log,
        "torchrun": process_count() > 1,
    }
    for option, is_given in refused.items():
        if is_given:
            raise DataError(
                f"--find-lr trains for {STEPS} steps and writes nothing. Leave out {option}.", code="options"
            )
    job = find_job(options.recipe, changes, options.init_from, options.device)
    options.source.check()
    job.check()
    found, recipe = search_lr(job, options.source), job.recipe
    if json:
        show_json({"recipe": recipe.name, "lr": recipe.optim.lr, **found.to_dict()})
        return
    show(curve_table(found))
    show(
        f"Suggested learning rate: {found.suggestion:.2g}, where the loss falls fastest. It is lowest at "
        f"{found.highest:.2g}; stay below that. The recipe has {recipe.optim.lr:g}."
    )
    notice(f"Train with it: --lr {found.suggestion:.2g}. It holds for this recipe, batch size and data.")


def curve_table(found: LrSearch) -> Table:
    """The curve in 20 rows or so: learning rate, loss, and a bar as long as the loss."""
    table = Table("learning rate", "loss", "", box=box.SIMPLE_HEAD, show_edge=False)
    marked = int(np.abs(np.log(found.rates / found.suggestion)).argmin())
    rows = sorted({*range(0, len(found.rates), max(len(found.rates) // _ROWS, 1)), marked})
    # The loss explodes at the end; a bar as long as that would hide where it falls.
    lowest, highest = found.losses.min(), 1.5 * found.losses[0]
    for row in rows:
        length = round(_BAR * min((found.losses[row] - lowest) / max(highest - lowest, 1e-12), 1.0))
        mark = "  <- suggested" if row == marked else ""
        table.add_row(f"{found.rates[row]:.2g}", f"{found.losses[row]:.4f}", "█" * length + mark)
    return table
