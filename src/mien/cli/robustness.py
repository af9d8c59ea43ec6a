"""``mien robustness``: measure the accuracy on corrupted images. Works without torch."""

from pathlib import Path

import typer

from mien.api.robustness import robustness as measure
from mien.base.errors import RunError
from mien.cli.options import NotNegative, Positive
from mien.cli.output import check_overwrite, notice, show_json
from mien.cli.source import SourceOptions
from mien.evaluation.robustness import NAME, write_robustness


def robustness(
    model: str,
    *,
    data: Path,
    split: str = "validation",
    out: Path | None = None,
    limit: Positive | None = None,
    seed: NotNegative = 0,
    data_options: SourceOptions,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Measure a model on images with noise, blur, bad light, occlusion and more, at five strengths each.

    Options:
        split (SPLIT): validation or train. Only mien evaluate uses test.
        out (DIR): Write robustness.json to this folder.
        limit (N): Use at most N randomly chosen samples.
        seed (N): Random seed of the corruptions and of --limit.
    """
    source = data_options.at(data)
    source.check()
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out must name a folder.", code="out-is-file")
    check_overwrite(out, [NAME], overwrite)
    result = measure(model, source, split, limit=limit, seed=seed)
    show_json(result.to_dict()) if json else typer.echo(str(result))
    if out is not None:
        notice(f"written: {write_robustness(out, result)}")
