"""``mien export``: export a run to ONNX, also in fp16 and int8."""

from pathlib import Path
from typing import Literal

import typer

from mien.api import export as api
from mien.base.model_file import read_manifest
from mien.cli.output import notice, show_json
from mien.cli.source import SourceOptions


def export(
    run: str,
    *,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    out: Path | None = None,
    data: Path | None = None,
    data_options: SourceOptions,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Export the best epoch of a run to ONNX, and check that it gives the same outputs as torch.

    fp16 and int8 are made from the fp32 file and compared with it on the validation split.

    Options:
        run (RUN): The run folder.
        precision: fp16 stores weights in half precision. int8 also computes in 8 bits: a quarter of the size, faster.
        out (FILE): The .onnx file to write. The default is RUN/model.onnx, model.half.onnx or model.int8.onnx.
        data (PATH): Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file.
            fp16 and int8 need it to measure their accuracy.
    """
    made = api.export(run, out, precision=precision, data=data_options.at_any(data), overwrite=overwrite)
    if precision == "fp32" and not read_manifest(made.file).scores:
        words = f"{made.file} has neither metrics nor a temperature. Evaluate the run with mien train --resume."
        notice(words, "metrics-missing")
    show_json(made.to_dict()) if json else typer.echo(made.description)
