"""``mien data``: look at labelled faces, convert and download them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DATA_HELP,
    CleanOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import DataError, needs_extra

app = typer.Typer(help="Look at labelled faces, convert and download them.", invoke_without_command=True)
PathArgument = Annotated[Path, typer.Argument(help=DATA_HELP)]


@app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("info", short_help="Say what was found: shape, splits, classes.")
def info(
    path: PathArgument,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what was found: shape, splits, classes, with a bar for each class and split."""
    result = Source(path, class_map, skip_bad, clean).read()
    faces = result.faces
    counts = faces.counts_by_split()
    if json:
        show_json(
            {
                "path": str(path),
                "shape": result.shape,
                "faces": len(faces),
                "size_px": list(faces.images.shape[1:]),
                "classes": list(faces.classes),
                "counts": {split: dict(zip(faces.classes, values, strict=True)) for split, values in counts.items()},
                "splits": result.split_origin,
                "columns": sorted(faces.columns),
                "skipped": [list(each) for each in result.skipped],
                "notes": list(result.notes),
                "fingerprint": result.fingerprint,
                "fingerprint_without_test": faces.fingerprint_without_test,
            }
        )
        return
    from rich.table import Table

    height, width = faces.images.shape[1:3]
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row("shape", result.shape)
    facts.add_row("faces", f"{len(faces):,}, grey {width} x {height}")
    facts.add_row("splits", result.split_origin)
    facts.add_row("columns", ", ".join(sorted(faces.columns)) or "none beside the label")
    facts.add_row("content", result.fingerprint)
    if faces.fingerprint_without_test != result.fingerprint:
        facts.add_row("without test", faces.fingerprint_without_test)
    show(facts)
    for split, values in counts.items():
        table = Table(
            title=f"{split}: {sum(values):,}", title_justify="left", box=None, show_header=False, pad_edge=False
        )
        for name, count in zip(faces.classes, values, strict=True):
            share = count / max(sum(values), 1)
            bar = "█" * round(40 * count / max(*values, 1))
            table.add_row(name, f"{count:,}", f"{share:.1%}", bar)
        show(table)


@app.command("convert", short_help="Write any shape of data as one parquet file.")
def convert(
    path: PathArgument,
    out: Annotated[Path, typer.Option(help="The parquet file to write.")],
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    size_px: Annotated[int, typer.Option("--size-px", help="Side of the grey squares.", min=8, max=1024)] = 48,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write any shape of data as one parquet file in Hugging Face's image layout."""
    with needs_extra("train", "Writing parquet"):
        import pyarrow  # noqa: F401 - a missing pyarrow shall be named before minutes of reading
    from mien.data.faceset import FINGERPRINT_PX
    from mien.data.parquet import write_parquet

    if out.suffix.lower() != ".parquet":
        raise DataError(f"{out} must end in .parquet, which is what is written.")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists already. Choose another name, or replace it with --overwrite.")
    result = Source(path, class_map, skip_bad, clean).read(size_px)
    write_parquet(result.faces, out, overwrite=overwrite, split_origin=result.split_origin)
    # Pictures of another size are not, at the usual one, the pixels that they were made from.
    content = f"; content {result.fingerprint}" if size_px == FINGERPRINT_PX else ""
    remark(f"{out}: {len(result.faces):,} faces, {out.stat().st_size / 1e6:.1f} MB{content}")


@app.command("download")
def download(
    name: Annotated[str, typer.Argument(help="fer2013 (folders of JPEGs) or fer2013-csv.")],
    quiet: QuietOption = False,
) -> None:
    """Fetch a public dataset through kagglehub, and say where it is."""
    from mien.data.hub import download as fetch

    typer.echo(str(fetch(name)))
