"""``mien.audit``: find faults of a data set that would make a metric misleading."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from mien.api.inputs import Data, data_name, environment, read
from mien.auditing.run import AuditFindings, audit_faces, check_audit, find_copies
from mien.auditing.sections import audit_tables, audit_values, write_audit
from mien.base.errors import DataError, needs_extra
from mien.base.files import check_replaceable, write_text
from mien.base.processes import torch_defaults
from mien.base.recipe import Recipe, load_recipe
from mien.base.run_folder import check_out
from mien.data.clean import Clean, write_clean
from mien.data.dataset import ALL, FINGERPRINT_PX, Dataset
from mien.data.read import ReadResult
from mien.data.splits import split_groups
from mien.evaluation.predictions import Predictions, read_predictions
from mien.page.chart import import_page_packages
from mien.page.terminal import as_html, as_text
from mien.training.callback import Callback

MAY_HOLD_A_REVIEW = " It may contain your edits."
"""Last sentence of the error that a ``clean.toml`` exists."""


@dataclass(frozen=True, eq=False)
class AuditResult:
    """Results of an audit of a data set.

    Attributes:
        findings: all findings as values.
        data: data set as it was read.
        name: name of the data.
        changes: samples to drop or relabel, as in ``clean.toml``.
    """

    findings: AuditFindings = field(repr=False)
    data: ReadResult = field(repr=False)
    name: str
    changes: Clean = field(repr=False)

    def write(
        self, folder: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> Path:
        """Write ``audit.html``, ``audit.json``, ``clean.toml``, charts and tables into a folder; returns the page.

        Args:
            folder: output folder, created if missing.
            metadata: more lines for the page about how it was made.
            overwrite: True replaces an existing ``clean.toml``.

        Raises:
            RunError: a ``clean.toml`` exists already, and a person may have edited it.
        """
        folder = check_out(folder, self.name)
        check_replaceable([folder / "clean.toml"], overwrite, MAY_HOLD_A_REVIEW)
        found = {"fingerprint of the data": self.data.fingerprint, "splits": self.data.split_origin}
        if self.data.skipped:
            found["images that cannot be read"] = ", ".join(source for source, _ in self.data.skipped)
        written = write_audit(
            folder, self.findings, title=f"Audit of {Path(self.name).name}", metadata={**found, **(metadata or {})}
        )
        write_text(folder / "audit.json", dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")
        write_clean(folder / "clean.toml", self.changes)
        return written.page

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``audit.json``, JSON-ready."""
        return {"path": self.name, "skipped": [list(each) for each in self.data.skipped], **audit_values(self.findings)}

    def __str__(self) -> str:
        return as_text(audit_tables(self.findings))

    def _repr_html_(self) -> str:
        return as_html(audit_tables(self.findings))


@torch_defaults()
def audit(
    data: Data,
    predictions: Predictions | str | os.PathLike[str] | None = None,
    *,
    recipe: str | os.PathLike[str] | Recipe | None = None,
    out: str | os.PathLike[str] = "audit/folds",
    notify: Callable[[str], None] = lambda line: None,
    callback: Callback | None = None,
) -> AuditResult:
    """Find copies, leaks, doubtful labels and corrupted images: all would make a metric on this data misleading.

    Args:
        data: labelled faces of all splits.
        predictions: check the labels with this predictions file (docs/predictions.md); in Python also values. It
            must be of a model not trained on its samples.
        recipe: check the labels by cross-validation: train this recipe five times, each time without a fifth of the
            samples. To resume after an interruption, repeat the call.
        out: folder for these models.
        notify: called with one line for each warning and each fold.
        callback: callback for the training of each fold.

    Raises:
        DataError: see :func:`mien.auditing.run.check_audit`, cleaned data, or ``predictions`` and ``recipe``.
        RecipeError: the recipe merges or drops classes.
        MissingExtraError: the extra ``audit`` is not installed, or ``train`` with a recipe.
    """
    if recipe is not None and predictions is not None:
        raise DataError("Give either --recipe or --predictions FILE.", code="options")
    if isinstance(predictions, str | os.PathLike):
        predictions = read_predictions(predictions)
    # Raise an error for a missing package at once, not after minutes of work.
    with needs_extra("audit", "The audit"):
        import_page_packages()
        import scipy  # noqa: F401
        import threadpoolctl  # noqa: F401
    if recipe is not None:
        folder = check_out(out, data)
        with needs_extra("train", "Training"):
            import mien.training.loop  # noqa: F401
    judge = recipe if recipe is None or isinstance(recipe, Recipe) else load_recipe(recipe)
    result = read(data, FINGERPRINT_PX)
    if result.faces.cleaned_from:
        words = "Cleaned data cannot be audited. Write it to a file with mien data convert, and audit that."
        raise DataError(words, code="options")
    check_audit(result.faces, predictions)
    if predictions is not None and predictions.split == ALL:
        notify("Predictions of all splits check labels only if their model was not trained on these faces.")
    to_train = None if judge is None else _check_training(data, judge, result.faces, notify)
    copies = find_copies(result.faces)
    if judge is not None and to_train is not None:
        from mien.runs.folds import FOLDS, make_folds, predict_folds

        folds = make_folds(
            to_train, split_groups(to_train.images, to_train.groups, copies.groups), FOLDS, only_train=True
        )
        predictions = predict_folds(
            judge,
            folds,
            folder,
            callback=callback,
            notify=notify,
            environment=environment(data),
            advice="To resume, run the same again.",
        )
    found = audit_faces(result.faces, copies, predictions)
    return AuditResult(found, result, data_name(data), Clean(result.fingerprint, found.changes))


def _check_training(data: Data, recipe: Recipe, dataset: Dataset, notify: Callable[[str], None]) -> Dataset:
    """Check that the recipe can be trained on the data, and return the data at the recipe's input size."""
    from mien.runs.folds import check_audited
    from mien.training.plan import recipe_warnings

    form = recipe.input.size_and_channels
    to_train = dataset if form == (FINGERPRINT_PX, 1) else read(data, *form, again=True).faces
    check_audited(recipe, to_train)
    for warning in recipe_warnings(recipe, train_faces=int(to_train.counts("train").sum())):
        notify(warning.line)
    return to_train
