"""``mien ensemble``: one model file that averages the predictions of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mien.api.export import check_model_file, check_onnx
from mien.cli.options import JsonOption, ModelsArgument, QuietOption
from mien.cli.output import notice, show, show_json
from mien.cli.source import Source
from mien.errors import RunError
from mien.inference.find_model import find_model
from mien.page.metrics_tables import evaluation_text
from mien.pipeline.export_ensemble import export_ensemble, open_members
from mien.run_folder import RunFolder


def ensemble(
    models: ModelsArgument,
    source: Source,
    out: Annotated[Path, typer.Option(help="The .onnx file to write. An existing one is replaced.", metavar="FILE")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make one model file that averages the predictions of several models, and evaluate it.

    All must read the same images and have the same classes and outputs. It takes the time of all of them together.
    Its temperature is fitted on the validation split of the data, and it is measured there beside its models.
    """
    check_model_file(out)
    files = [find_model(model) for model in models]
    if out.resolve() in {file.resolve() for file in files}:
        raise RunError(f"--out is {out}, one of the models. Choose another file.", code="out-is-source")
    if RunFolder(out.parent).is_run:
        raise RunError(
            f"--out is in the run folder {out.parent}, whose files are of that run alone. Choose a file outside.",
            code="out-in-run",
        )
    source.check()
    check_onnx()
    members = open_members(files, models)
    data = source.read(*members[0].manifest.input.stored_as)
    made = export_ensemble(members, data, out)
    for each in made.notices:
        notice(each.line)
    if json:
        show_json(made.to_dict())
        return
    show(evaluation_text(made.evaluation))
    alone = Table(title="Accuracy of each model alone", title_justify="left", box=None, show_header=False)
    for name, accuracy in zip(models, made.accuracies, strict=True):
        alone.add_row(name, f"{accuracy:.1%}")
    show(alone)
    notice(f"Written: {made.description}")
