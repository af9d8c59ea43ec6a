"""``mien audit``: what is wrong with a data set, before anyone believes a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.api.audit import MAY_HOLD_A_REVIEW, AuditResult
from mien.auditing.registry import audit_tables
from mien.auditing.run import Copies, audit_faces, check_audit, find_copies, kept_together
from mien.base.errors import DataError, needs_extra
from mien.base.files import check_replaceable
from mien.base.recipe import Recipe, load_recipe
from mien.cli.options import DataArgument, JsonOption, OverwriteOption, QuietOption
from mien.cli.output import check_out, notice, show, show_json, show_notices
from mien.cli.source import AuditedOptions, Source, SourceOptions
from mien.data.clean import Clean
from mien.data.dataset import FINGERPRINT_PX, Dataset
from mien.evaluation.predictions import Predictions, read_predictions
from mien.page.rendering import import_page_packages
from mien.pipeline.training_view import TrainProgress

_FOLDS = "folds"


def audit(
    path: DataArgument,
    out: Annotated[
        Path, typer.Option(help="Folder for audit.html, clean.toml, audit.json and tables/.", metavar="DIR")
    ] = Path("audit"),
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Check the labels by cross-validation: train this recipe five times, each time without a fifth of the "
            "samples. If it is interrupted, run the same command again to resume.",
            metavar="RECIPE",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Check the labels with this predictions file (docs/predictions.md) of a model not trained on its "
            "samples.",
            metavar="FILE",
        ),
    ] = None,
    *,
    data_options: AuditedOptions,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Audit a data set: duplicates, leakage, doubtful labels, bad images, label-noise ceiling.

    Writes a page that shows faces, and clean.toml: samples to drop or relabel. Review that file, then give it to any
    command but audit as --clean. The data itself is never changed.
    """
    if recipe is not None and predictions is not None:
        raise DataError("Give either --recipe or --predictions FILE.", code="options")
    source = Source(path, SourceOptions(**vars(data_options)))
    source.check()
    check_out(out, path)
    check_replaceable([out / "clean.toml"], overwrite, MAY_HOLD_A_REVIEW)
    _check_extras(trains=recipe is not None)
    judge = None if recipe is None else load_recipe(recipe)
    given = None if predictions is None else read_predictions(predictions)
    result = source.read()
    check_audit(result.faces, given)
    to_train = None if judge is None else _check_training(source, judge, result.faces)
    copies = find_copies(result.faces)
    if judge is not None and to_train is not None:
        given = _predict_out_of_fold(source, judge, to_train, copies, out / _FOLDS)
    findings = audit_faces(result.faces, copies, given)
    audited = AuditResult(findings, result, str(path), Clean(result.faces.fingerprint, findings.changes))
    page = audited.write(out, metadata=source.environment(), overwrite=True)
    list_file = out / "clean.toml"
    if json:
        show_json({"page": str(page), "list": str(list_file), **audited.to_dict()})
        return
    show(audit_tables(audited.findings))
    notice(
        f"\npage:  {page} ({page.stat().st_size / 1e6:.1f} MB). It shows faces of the data: check its licence "
        f"before you share it.\nlist:  {list_file}. Review it, then give it to any command but audit as --clean."
    )


def _check_extras(*, trains: bool) -> None:
    """Name a missing package now, not after minutes."""
    with needs_extra("audit", "The audit"):
        import_page_packages()
        import scipy  # noqa: F401
        import threadpoolctl  # noqa: F401
    if trains:
        with needs_extra("train", "Training"):
            import mien.training.loop  # noqa: F401


def _check_training(source: Source, recipe: Recipe, faces: Dataset) -> Dataset:
    """The data at the recipe's input size, once it is sure that the recipe can be trained on it."""
    from mien.runs.folds import check_audited
    from mien.training.plan import recipe_warnings

    form = recipe.input.stored_as
    to_train = faces if form == (FINGERPRINT_PX, 1) else source.read(*form, again=True).faces
    check_audited(recipe, to_train)
    show_notices(recipe_warnings(recipe, train_faces=int(to_train.counts("train").sum())))
    return to_train


def _predict_out_of_fold(source: Source, recipe: Recipe, faces: Dataset, copies: Copies, folder: Path) -> Predictions:
    """Predictions of five models, each on the samples it was not trained on."""
    from mien.runs.folds import FOLDS, make_folds, predict_folds

    return predict_folds(
        recipe,
        make_folds(faces, kept_together(faces, copies), FOLDS, only_train=True),
        folder,
        callback=TrainProgress(),
        notify=notice,
        environment=source.environment(),
        advice="To resume, run the same command again.",
    )
