"""``mien web``: build the browser page as static files."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.commands import Subcommands
from mien.cli.options import MODEL_HELP, OverwriteOption
from mien.cli.output import notice
from mien.inference.find_model import find_model
from mien.serve.built_page import FAST_MODEL, PAGE_MODEL, copy_page

app = Subcommands("Build the browser page.")

_MODELS = f"{PAGE_MODEL}, and {FAST_MODEL} for slow devices"


@app.command("build", short_help="Copy the browser page and models to a folder.")
def build(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder. It is created if it does not exist; its other files are kept."),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="MODEL", help=f"{MODEL_HELP} Repeat to offer several. Default: {_MODELS}."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Copy the browser page and models to a folder that any web host can serve. The page opens with the first model."""
    names = models or [PAGE_MODEL, FAST_MODEL]
    files = copy_page(folder, [find_model(name) for name in names], overwrite=overwrite)
    size = sum(file.stat().st_size for file in files)
    notice(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, with {', '.join(names)}")
