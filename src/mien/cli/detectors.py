"""``mien detectors``: what finds faces in photos."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import JsonOption, QuietOption, remark, show, show_json
from mien.errors import DataError, nearest

app = typer.Typer(help="Show what finds faces in photos, and install a better detector.", invoke_without_command=True)


@app.callback()
def detectors(context: typer.Context, json: JsonOption = False) -> None:
    """Show the face detectors: which is in use, and why."""
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table

    from mien.faces.find import choose, find_detector
    from mien.faces.install import SIZE_BYTES
    from mien.faces.yunet import YuNetDetector

    used, why = find_detector(), choose()[1]
    is_yunet = isinstance(used, YuNetDetector)
    rows = {
        "YuNet": why if is_yunet else f"`mien detectors install yunet` fetches it ({round(SIZE_BYTES / 1000)} kB)",
        "Haar cascade": "it comes with OpenCV" if is_yunet else why,
    }
    if json:
        show_json([{"name": name, "in_use": name == used.name, "why": text} for name, text in rows.items()])
        return
    table = Table("detector", "in use", "why", box=None, pad_edge=False)
    for name, text in rows.items():
        table.add_row(name, "yes" if name == used.name else "", text)
    show(table)


@app.command("install", short_help="Fetch the official file of a detector, check it, keep it.")
def install(
    name: Annotated[str, typer.Argument(help="yunet: a small network that also finds faces from the side.")],
    quiet: QuietOption = False,
) -> None:
    """Fetch the official file of a detector, check it, and keep it in the cache folder."""
    from mien.faces.find import choose
    from mien.faces.install import install_yunet

    if name != "yunet":
        raise DataError(f"There is no detector '{name}' to install.{nearest(name, ['yunet'])}")
    path = install_yunet()
    typer.echo(path)
    used, why = choose()
    if used != path:
        remark(f"It is not in use: {why}.")
