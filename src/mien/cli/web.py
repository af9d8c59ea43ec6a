"""``mien web``: the browser page as static files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import MODEL_HELP, QuietOption, remark

app = typer.Typer(help="The page that reads faces in a browser.", invoke_without_command=True)


@app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("build", short_help="Copy the browser page with a model into a folder.")
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if missing, its other files stay.")],
    model: Annotated[str, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")] = "fast-int8",
    quiet: QuietOption = False,
) -> None:
    """Copy the browser page with a model into a folder that any web host can serve."""
    from mien.inference.locate import find_model
    from mien.serve.built_page import copy_page

    files = copy_page(folder, find_model(model))
    size = sum(file.stat().st_size for file in files)
    remark(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, with {model}")
