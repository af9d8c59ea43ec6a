"""``mien.audit``: what would make a metric on this data wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from mien.api.inputs import Data, data_name, read
from mien.auditing.findings import AuditFindings
from mien.auditing.registry import audit_tables, audit_values, write_audit
from mien.auditing.run import audit_faces, check_audit, find_copies
from mien.base.files import check_replaceable, write_text
from mien.data.clean import Clean, write_clean
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult
from mien.evaluation.predictions import Predictions
from mien.page.terminal import as_html, as_text

MAY_HOLD_A_REVIEW = " It may hold a review."
"""Why a ``clean.toml`` is not lightly replaced."""


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit found in a data set.

    Attributes:
        findings: everything, as values.
        data: the data set as it was read.
        name: what the data is called.
        changes: the samples to drop or relabel, as ``clean.toml`` lists them.
    """

    findings: AuditFindings = field(repr=False)
    data: ReadResult = field(repr=False)
    name: str
    changes: Clean = field(repr=False)

    def write(
        self, folder: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> Path:
        """Write ``audit.html``, ``audit.json``, ``clean.toml``, charts and tables into a folder; the page's path.

        Args:
            folder: created where it is missing.
            metadata: what else the page says of how it was made.
            overwrite: replace a ``clean.toml``.

        Raises:
            RunError: there is a ``clean.toml`` already, which may hold a review.
        """
        folder = Path(folder)
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
        """JSON-ready: the content of ``audit.json``."""
        skipped = [list(each) for each in self.data.skipped]
        return {"path": self.name, "skipped": skipped, **audit_values(self.findings)}

    def __str__(self) -> str:
        return as_text(audit_tables(self.findings))

    def _repr_html_(self) -> str:
        return as_html(audit_tables(self.findings))


def audit(data: Data, predictions: Predictions | None = None) -> AuditResult:
    """Find what would make a metric on this data wrong: copies, leaks, doubtful labels, unusable images.

    Args:
        data: labelled faces, of all splits.
        predictions: out-of-fold probabilities of a model, to judge the labels by as well.

    Raises:
        DataError: as :func:`mien.auditing.run.check_audit`.
        MissingExtraError: the extra ``audit`` is not installed.
    """
    result = read(data, FINGERPRINT_PX)
    check_audit(result.faces, predictions)
    found = audit_faces(result.faces, find_copies(result.faces), predictions)
    return AuditResult(found, result, data_name(data), Clean(result.fingerprint, found.changes))
