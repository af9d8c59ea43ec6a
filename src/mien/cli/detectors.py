"""``mien detectors``: what detects faces in images."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from mien.base.errors import DataError, nearest
from mien.cli.commands import new_group
from mien.cli.options import JsonOption, QuietOption
from mien.cli.output import notice, show, show_json
from mien.faces.find import choose, find_detector
from mien.faces.haar import HaarDetector
from mien.faces.network import NetworkDetector
from mien.faces.yunet import SIZE_BYTES, YuNetDetector, install_yunet

app: typer.Typer = new_group("Show the face detectors, or install a better one.")


@app.callback()
def detectors(context: typer.Context, json: JsonOption = False) -> None:
    """Show the face detectors: which one is in use, and why."""
    if context.invoked_subcommand is not None:
        return
    used, choice = find_detector(), choose()
    rows = {
        NetworkDetector.name: "it comes with mien",
        YuNetDetector.name: f"`mien detectors install yunet` downloads it ({round(SIZE_BYTES / 1000)} kB) for OpenCV",
        HaarDetector.name: "it comes with OpenCV",
    } | {used.name: choice.why}
    if json:
        show_json([{"name": name, "in_use": name == used.name, "why": text} for name, text in rows.items()])
        return
    table = Table("detector", "in use", "why", box=None, pad_edge=False)
    for name, text in rows.items():
        table.add_row(name, "yes" if name == used.name else "", text)
    show(table)


@app.command("install", short_help="Download a detector and verify its file.")
def install(
    name: Annotated[
        str, typer.Argument(help="yunet: a small network that also detects profile faces.", metavar="NAME")
    ],
    quiet: QuietOption = False,
) -> None:
    """Download the official file of a detector, verify it, and keep it in the cache folder."""
    if name != "yunet":
        raise DataError(f"There is no detector '{name}' to install.{nearest(name, ['yunet'])}", code="detector-unknown")
    path = install_yunet()
    typer.echo(path)
    choice = choose()
    if choice.files != (path,):
        notice(f"it is not in use: {choice.why}.", "detector-not-in-use")
