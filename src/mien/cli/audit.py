"""``mien audit``: find faults of a data set that would make a metric misleading."""

from pathlib import Path

from mien.api import audit as api
from mien.api.audit import MAY_HOLD_A_REVIEW
from mien.auditing.sections import audit_tables
from mien.base.files import check_replaceable
from mien.base.run_folder import check_out
from mien.cli.output import notice, show, show_json
from mien.cli.source import AuditedOptions, Source, SourceOptions
from mien.evaluation.predictions import read_predictions
from mien.pipeline.training_view import TrainProgress


def audit(
    path: Path,
    *,
    out: Path = Path("audit"),
    recipe: str | None = None,
    predictions: Path | None = None,
    data_options: AuditedOptions,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Audit a data set: duplicates, leakage, doubtful labels, corrupted images, label-noise ceiling.

    Writes a page that shows faces, and clean.toml: samples to drop or relabel. Review that file, then give it to any
    command except audit as --clean. The data itself is never changed.

    Options:
        out (DIR): Folder for audit.html, clean.toml, audit.json and tables/.
        recipe (RECIPE): Check the labels by cross-validation: train this recipe five times, each time without a fifth
            of the samples. If it is interrupted, run the same command again to resume.
        predictions (FILE): Check the labels with this predictions file (docs/predictions.md) of a model not trained on
            its samples.
    """
    source = Source(path, SourceOptions(**vars(data_options)))
    source.check()
    check_out(out, path)
    check_replaceable([out / "clean.toml"], overwrite, MAY_HOLD_A_REVIEW)
    given = None if predictions is None else read_predictions(predictions)
    audited = api.audit(source, given, recipe=recipe, out=out / "folds", notify=notice, callback=TrainProgress())
    page = audited.write(out, metadata=source.environment(), overwrite=True)
    list_file = out / "clean.toml"
    if json:
        show_json({"page": str(page), "list": str(list_file), **audited.to_dict()})
        return
    show(audit_tables(audited.findings))
    notice(
        f"\npage:  {page} ({page.stat().st_size / 1e6:.1f} MB). It shows faces of the data: check its licence "
        f"before you share it.\nlist:  {list_file}. Review it, then give it to any command except audit as --clean."
    )
