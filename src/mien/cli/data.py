"""``mien data``: inspect, show, convert and draw data sets."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import mien
from mien.api.inputs import read
from mien.base.errors import DataError, needs_extra
from mien.base.files import check_outside, check_replaceable
from mien.base.run_folder import check_out
from mien.cli.main import Subcommands
from mien.cli.options import Range, shows
from mien.cli.output import notice, show_facts, show_json
from mien.cli.source import SourceOptions
from mien.data.dataset import FINGERPRINT_PX
from mien.data.parquet import write_parquet
from mien.data.read import dataset_info
from mien.data.synthetic import synthetic_faces, write_class_folders
from mien.evaluation.vote_metrics import vote_info
from mien.page.chart import check_chart_name
from mien.page.wording import counted

data = Subcommands("Inspect, show, convert and draw data sets.")


@data.command("info", short_help="Show format, splits and class counts of a data set.")
def info(data: Path, *, data_options: SourceOptions, json: bool = False) -> None:
    """Show format, splits, classes and votes of a data set, with a bar for each class and split."""
    result = read(data_options.at(data), FINGERPRINT_PX)
    faces, votes, found = result.faces, vote_info(result.faces), dataset_info(result)
    if json:
        show_json({"path": str(data), **found, "votes": votes})
        return
    height, width = found["size_px"]
    facts = {"format": result.shape, "images": f"{len(faces):,}, shown here as grey {width} x {height} px"}
    facts["splits"] = result.split_origin
    if groups := found["groups"]:
        sizes = f"{groups['smallest']:,} to {groups['largest']:,} images each"
        facts["groups"] = f"{groups['count']:,} of '{groups['column']}', {sizes}"
    facts["columns"] = ", ".join(found["columns"]) or "only the label"
    facts["fingerprint"] = result.fingerprint
    if faces.fingerprint_without_test != result.fingerprint:
        facts["without test"] = faces.fingerprint_without_test
    show_facts(facts)
    for split, counts in faces.counts_by_split().items():
        total, largest = max(sum(counts), 1), max(*counts, 1)
        bars = [f"{count:6,}  {count / total:6.1%}  {'█' * round(40 * count / largest)}" for count in counts]
        show_facts(dict(zip(faces.classes, bars, strict=True)), title=f"{split}: {sum(counts):,}")
    if votes is not None:
        agreement = "–" if votes["agreement"] is None else f"{votes['agreement']:.1%}"
        splits = " + ".join(faces.counts_by_split())
        shown = {
            "images with votes": f"{votes['images']:,} of {len(faces):,}",
            "majority is the label": f"{agreement} of {votes['comparable']:,} images of {splits} with a majority",
            "share of the votes": ", ".join(f"{name} {each:.1%}" for name, each in votes["fractions"].items()),
        }
        show_facts(shown, title="votes")


@data.command("show", short_help="Draw a sheet of faces of each class.")
@shows(mien.show, reads=SourceOptions)
def show_faces(draw_sheet: partial[mien.Chart], *, out: Path, overwrite: bool = False) -> None:
    """See :func:`mien.show`.

    Options:
        out (FILE): The .png, .svg or .pdf file to write.
    """
    check_replaceable([out], overwrite)
    check_outside(out, draw_sheet.keywords["data"])
    check_chart_name(out)
    draw_sheet().save(out)
    notice(f"{out}: faces of the data; check its licence before you share them.")


@data.command("convert", short_help="Convert a data set to one parquet file.")
def convert(
    data: Path,
    *,
    out: Path,
    data_options: SourceOptions,
    size_px: int = 48,
    colour: bool = False,
    overwrite: bool = False,
) -> None:
    """Convert a data set of any supported format to one parquet file in the image layout of Hugging Face.

    Options:
        out (FILE): The parquet file to write.
        size_px (N): Side of the square images.
        colour: Keep the colours. The default is grey.
    """
    with needs_extra("parquet", "Writing parquet"):
        import pyarrow  # noqa: F401 - named before minutes of reading if it is missing

    if out.suffix.lower() != ".parquet":
        raise DataError(f"--out must name a .parquet file; found {out}.", code="out-path")
    check_replaceable([out], overwrite)
    check_outside(out, data)
    result = read(data_options.at(data), size_px, 3 if colour else 1)
    write_parquet(result.faces, out, overwrite=overwrite, split_origin=result.split_origin)
    # Omit the fingerprint: changed data has another one when it is read again.
    is_same = size_px == FINGERPRINT_PX and not colour and not result.faces.cleaned_from
    fingerprint = f"; fingerprint {result.fingerprint}" if is_same else ""
    notice(f"{out}: {len(result.faces):,} images, {out.stat().st_size / 1e6:.1f} MB{fingerprint}")


@data.command("crop", short_help="Cut the faces out of photographs, to train on.")
@shows(mien.crop, "channels")
def crop(cut_out_faces: partial[Any], *, colour: bool = False) -> None:
    """See :func:`mien.crop`.

    Options:
        colour: Keep the colours. The default is grey.
    """
    out = cut_out_faces.keywords["out"]
    check_out(out)
    faces, without, bad, others = cut_out_faces(channels=3 if colour else 1)
    for each in bad:
        notice(f"skipped: {each}")
    for files, words, code in ((without, "no face, so left out", "no-face"), (others, "without a photo", "no-photo")):
        more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
        if files:
            notice(f"{words}: {', '.join(files[:10])}{more}", code)
    notice(f"{out}: {counted(faces, 'face')} of {counted(faces + len(without) + len(bad), 'photograph')}")


@data.command("synthetic", short_help="Write a folder of drawn faces, for experiments.")
def synthetic(
    folder: Path,
    *,
    faces: Annotated[int, Range(70, 1_000_000)] = 700,
    seed: int = 0,
    size_px: Annotated[int, Range(16, 448)] = 48,
    colour: bool = False,
) -> None:
    """Write drawn faces as DIR/SPLIT/CLASS/NUMBER.png. The drawings show no real person.

    Options:
        folder (DIR): The folder to create.
        faces (N): How many faces.
        seed (N): Random seed.
        size_px (N): Side of the images in pixels.
        colour: Draw in colour. The default is grey.
    """
    write_class_folders(synthetic_faces(faces, seed, size_px, 3 if colour else 1), folder)
    notice(f"{folder}: {faces:,} faces of 7 classes in train, validation and test")
