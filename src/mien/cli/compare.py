"""``mien compare``: compare models on the same samples, with significance tests. Works without torch."""

from pathlib import Path

import typer

from mien.api.compare import compare_named, keep_shared_samples
from mien.base.errors import DataError, Notice
from mien.base.run_folder import check_out
from mien.cli.output import notice, show_json, show_notices
from mien.cli.source import SourceOptions, environment_of
from mien.evaluation.named_metrics import find_metrics
from mien.evaluation.predictions import read_predictions
from mien.pipeline.evaluation_files import find_predictions
from mien.reporting.comparison import comparison_page


def compare(
    folders: list[Path] | None = None,
    *,
    predictions: list[Path] | None = None,
    split: str | None = None,
    shared_only: bool = False,
    data: Path | None = None,
    metric: list[str] | None = None,
    out: Path | None = None,
    data_options: SourceOptions,
    json: bool = False,
) -> None:
    """Compare models on the same samples: paired bootstrap, McNemar's test, the difference for each class.

    Every model is compared with the first one. Input sizes may differ. With --data, metrics without copies are added,
    and the page in --out shows faces. Intervals and tests are then over the groups of the data, if it has any: its own,
    or those of --group.

    Options:
        folders (DIR): Run folders, or folders of mien evaluate --out DIR. The first is the baseline.
        predictions (FILE): A predictions file of any model. Can be repeated.
        split (SPLIT): Which predictions of DIR to use: train, validation (the default), test or all.
        shared_only: Compare on the samples that all models predicted; count the rest.
        metric (METRIC): Another metric: kappa, mcc, top2_accuracy, recall.CLASS, ..., or file.py:function, your own
            function of labels and probabilities. Can be repeated.
        out (OUT): Write report.html, figures/ and tables/ to this folder.
    """
    if split is not None and not folders:
        raise DataError("--split chooses predictions in DIR; a --predictions FILE has one split.", code="options")
    source = data_options.at_any(data)
    if out is not None:
        check_out(out, data, for_page=True)
    metrics = find_metrics(metric or ())
    files = [(str(folder), find_predictions(folder, split)) for folder in folders or ()]
    files += [(str(file), file) for file in predictions or ()]
    named = [(name, read_predictions(file)) for name, file in files]
    metadata: dict[str, str] = {}
    notes: list[Notice] = []
    if shared_only and len(named) > 1:
        named, shared = keep_shared_samples(named)
        metadata["samples"] = shared
        notes.append(shared)
    comparisons = compare_named(named, None if source is None else source.read(), metrics)
    # Print each notice once, although the first model is part of every comparison.
    notes += dict.fromkeys(words for each in comparisons for words in each.notices)
    show_notices(notes)
    if out is not None:
        metadata |= environment_of(source)
        notice(f"report: {comparison_page(comparisons, metadata).write(out).page}")
    if json:
        show_json([each.to_dict() for each in comparisons])
        return
    for each in comparisons:
        typer.echo(str(each))
