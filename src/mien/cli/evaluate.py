"""``mien evaluate``: a model against labelled faces. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DataOption,
    JsonOption,
    MapOption,
    ModelOption,
    QuietOption,
    SkipBadOption,
    environment,
    read,
    remark,
    show,
    show_json,
)


def evaluate(
    model: ModelOption,
    data: DataOption,
    split: Annotated[
        str, typer.Option(help="train, validation (FER2013's PublicTest) or test (PrivateTest).")
    ] = "validation",
    by: Annotated[
        str | None, typer.Option(help="Break figures down by a column of the data.", metavar="COLUMN")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write scores_SPLIT.npz, metrics.json and report.html into this folder.")
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a model on one split of labelled faces.

    Only this command opens the test split; the model's run folder keeps a ledger of each time it did.
    """
    from mien.errors import DataError, RunError, nearest
    from mien.evaluation.evaluate import break_down, evaluate_scores
    from mien.experiments.measure import class_counts, faces_for, score_split, write_evaluation
    from mien.inference.classifier import load
    from mien.inference.locate import SHIPPED, find_run
    from mien.report.table import break_down_table, evaluation_table
    from mien.run_folder import RunFolder

    classifier = load(model)
    if out is not None and RunFolder(out).is_run:
        raise RunError(f"{out} is a run folder and keeps its own measurement; choose another folder for --out.")
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out names a folder.")
    result = read(data, size_px=classifier.manifest.input.size_px, class_map=class_map, skip_bad=skip_bad)
    faces = faces_for(classifier, result.faces)
    chosen = faces.of_split(split)
    columns = {"source": chosen.source, **chosen.columns}
    if by is not None:
        if by not in columns:
            raise DataError(f"The data has no column '{by}'." + nearest(by, columns))
        if columns[by].ndim != 1:
            raise DataError(f"The column '{by}' holds {columns[by].shape[1]} values a face; --by takes one with one.")
    scores = score_split(classifier, faces, split)
    evaluation = evaluate_scores(scores)
    parts = break_down(scores, columns[by]) if by is not None else []

    run = find_run(model)
    run = run if run.path.is_dir() else RunFolder(run.path.parent)
    if split == "test" and run.is_run and model not in SHIPPED:
        run.note_test_use(
            {"data": str(data), "data_fingerprint": result.fingerprint, "accuracy": evaluation.accuracy.value}
        )
        remark(f"The test split has now been opened {run.test_uses()} time(s) with this model ({run.path}).")
    elif split == "test":
        remark("The test split was opened; this model is in no run folder of yours, so no ledger was kept.")

    report = None
    if out is not None:
        report = write_evaluation(
            out,
            scores,
            evaluation,
            title=f"{classifier.manifest.name}: {split}",
            history=run.read_history() if run.is_run else (),
            best_epoch=classifier.manifest.epoch,
            class_counts=class_counts(faces),
            facts={"model": str(model), **{k: str(v) for k, v in environment(data).items()}},
        )
    if json:
        content = evaluation.to_dict()
        if by is not None:
            content["by"] = {"column": by, "parts": [part.to_dict() for part in parts]}
        show_json(content)
    else:
        show(evaluation_table(evaluation))
        if by is not None:
            show(break_down_table(parts, by))
    if out is not None:
        remark(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")
