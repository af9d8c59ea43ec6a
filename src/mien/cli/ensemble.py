"""``mien ensemble``: one model file that averages the predictions of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.api import ensemble as api
from mien.cli.options import MODEL_HELP, JsonOption, QuietOption
from mien.cli.output import notice, show, show_facts, show_json, show_notices
from mien.cli.source import Source
from mien.page.terminal import evaluation_text


def ensemble(
    models: Annotated[list[str], typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    source: Source,
    out: Annotated[Path, typer.Option(help="The .onnx file to write. An existing one is replaced.", metavar="FILE")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make one model file that averages the predictions of several models, and evaluate it.

    All must read the same images and have the same classes and outputs. It takes the time of all of them together.
    Its temperature is fitted on the validation split of the data, and it is measured there beside its models.
    """
    source.check()
    made = api.ensemble(models, source, out)
    show_notices(made.notices)
    if json:
        show_json(made.to_dict())
        return
    show(evaluation_text(made.evaluation))
    alone = {name: f"{accuracy:.1%}" for name, accuracy in zip(models, made.accuracies, strict=True)}
    show_facts(alone, title="Accuracy of each model alone")
    notice(f"Written: {made.description}")
