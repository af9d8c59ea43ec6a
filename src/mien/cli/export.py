"""``mien export``: the artifact of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import JsonOption, QuietOption, show_json
from mien.errors import needs_extra


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file to write; RUN/model.onnx by default.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a run's best epoch as one .onnx file and prove that it answers as torch does."""
    with needs_extra("train", "Exporting"):
        from mien.export import export_run
    from mien.run_folder import RunFolder

    folder = RunFolder(run)
    file = out or folder.model
    parity = export_run(folder, file)
    megabytes = file.stat().st_size / 1e6
    if json:
        show_json({"file": str(file), "bytes": file.stat().st_size, **vars(parity)})
        return
    typer.echo(
        f"{file}: {megabytes:.2f} MB; on {parity.faces} synthetic faces the largest probability difference to torch "
        f"is {parity.largest_difference:.1g}, the top class agrees on {parity.agreement:.1%}."
    )
