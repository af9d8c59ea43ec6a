"""``mien report``: everything about a model's answers on one page. Works without torch, but for gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    CleanOption,
    DataIfAnyOption,
    JsonOption,
    MapOption,
    ModelIfAnyOption,
    QuietOption,
    SkipBadOption,
    SplitOfScoresOption,
    check_page_out,
    page_facts,
    remark,
    show_json,
)
from mien.cli.source import environment_of, source_if_any

if TYPE_CHECKING:
    from mien.inference.classifier import Classifier


def report(
    folder: Annotated[
        Path | None, typer.Argument(help="A run folder, or what mien evaluate --out DIR wrote.", metavar="DIR")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Instead of DIR: a scores file, of anybody's model.", metavar="FILE")
    ] = None,
    data: DataIfAnyOption = None,
    model: ModelIfAnyOption = None,
    split: SplitOfScoresOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for report.html, figures/ and tables/; DIR/report-SPLIT by default.", metavar="OUT"
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Share of faces whose prediction set shall hold the true class.", metavar="SHARE")
    ] = 0.9,
    no_explain: Annotated[
        bool, typer.Option("--no-explain", help="Leave out what the model looks at, which takes half a minute.")
    ] = False,
    no_features: Annotated[
        bool, typer.Option("--no-features", help="Leave out how it sees faces, which reads every training face.")
    ] = False,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write all that the scores of a model say, and where it fails, as one page for a browser or a printer.

    What needs --data, the model (by default that of DIR) or a robustness.json (of mien robustness, in DIR or OUT) is
    there where these are. Every figure is also written as SVG and PNG, every table as CSV and JSON. Faces are in the
    page alone.
    """
    from mien.errors import DataError
    from mien.evaluation.scores import read_scores
    from mien.experiments.full_report import write_full_report
    from mien.experiments.matching import find_scores
    from mien.inference.classifier import load
    from mien.inference.locate import find_run, find_run_of_model
    from mien.run_folder import RunFolder

    if (folder is None) == (scores is None):
        raise DataError("Give a folder, or --scores FILE: one of the two.")
    if scores is not None and split is not None:
        raise DataError("--split chooses among the scores of DIR; --scores FILE is of one split already.")
    source = source_if_any(data, class_map, skip_bad, clean)
    check_page_out(out, data)
    file = find_scores(folder, split) if folder is not None else scores
    assert file is not None
    measured = read_scores(file)
    out = out or default_out(file, measured.split)
    check_page_out(out, data)
    if model is None and folder is not None and RunFolder(folder).model.is_file():
        model = str(folder)
    own = model is not None and folder is not None and find_run(model).path.resolve() == folder.resolve()
    classifier: Classifier | None = None if model is None else load(model)
    run = None if model is None else find_run_of_model(model)
    size_px = 48 if classifier is None else classifier.manifest.input.size_px
    result = None if source is None else source.read(size_px)
    name = file.parent.resolve().name if folder is not None else file.stem
    if classifier is not None and own:
        name = classifier.manifest.full_name
    written = write_full_report(
        out,
        measured,
        title=f"{name}: {measured.split}",
        faces=None if result is None else result.faces,
        uncleaned=None if result is None else result.uncleaned,
        model=classifier,
        run=run,
        robustness=[out, file.parent, *([] if run is None else [run.path])],
        model_name=model,
        level=level,
        explain=not no_explain,
        features=not no_features,
        facts={
            "scores": str(file),
            "model": model or "not given",
            **({"answers": measured.note} if measured.note else {}),
            **page_facts(environment_of(source)),
        },
    )
    if json:
        show_json(
            {"report": str(written.page), "bytes": written.page_bytes, "files": [str(each) for each in written.files]}
        )
    else:
        typer.echo(str(written.page))
        remark(
            f"{written.page_bytes / 1e6:.1f} MB; beside it {len(written.files)} files in figures/ and tables/."
            + (" It shows faces of the data: mind its terms before you pass it on." if result is not None else "")
        )


def default_out(file: Path, split: str) -> Path:
    """Beside the scores; a split may have any name, a folder may not."""
    return file.parent / ("report-" + "".join(each if each.isalnum() or each in "-_." else "-" for each in split))
