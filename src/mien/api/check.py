"""``mien.check``: check the predictions behind a claimed accuracy."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from mien.api.inputs import Data, read
from mien.base.errors import DataError
from mien.base.files import expand_home
from mien.base.run_folder import check_out
from mien.data.dataset import ALL, FINGERPRINT_PX, SPLITS
from mien.data.read import ReadResult
from mien.evaluation.error_analysis import LEARNED_SHARE, best_exchange, learned_labels
from mien.evaluation.metrics import bootstrap_mean, confusion_matrix, majority, proportion_among
from mien.evaluation.paired_tests import mcnemar_test, shared_samples
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.results import Estimate, JsonResult
from mien.evaluation.vote_metrics import vote_ceiling
from mien.page.page import Column, Page, Section, Table, Text
from mien.page.wording import counted, p_text, percent, share_text, with_interval
from mien.pipeline.evaluate import EvaluationResult
from mien.pipeline.measured_split import WITHOUT_LEAKED, MeasuredSplit
from mien.pipeline.user_tables import ClaimedPredictions, read_predictions_csv

WIDE = 0.1
"""An interval this wide or wider (ten points) says little about a model."""
VERDICTS = {
    "wrong": "Do not trust this accuracy as it is.",
    "caution": "Trust this accuracy only with the cautions below.",
    "fine": "No problem was found with this accuracy.",
}

Verdict = Literal["fine", "caution", "wrong", "unknown"]
Claim: TypeAlias = Predictions | EvaluationResult | str | os.PathLike[str]


@dataclass(frozen=True)
class ClaimFinding(JsonResult):
    """One question about a claim, and the answer.

    Attributes:
        key: name of the question, as in docs/check.md.
        verdict: ``"fine"``, ``"caution"``, ``"wrong"``, or ``"unknown"`` if the data does not allow an answer.
        words: the answer as a sentence with numbers.
    """

    key: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class ClaimResult:
    """Findings about the predictions behind a claimed accuracy.

    Attributes:
        accuracy: fraction of correct samples, 0..1, with its 95% interval.
        samples: number of samples with a prediction.
        findings: one finding per question, in the order of docs/check.md.
        split: split of the data that the predictions are for.
        name: name of the predictions.
    """

    accuracy: Estimate
    samples: int
    findings: Sequence[ClaimFinding] = field(repr=False)
    split: str
    name: str

    @property
    def verdict(self) -> str:
        """The worst verdict of all findings: ``"wrong"``, ``"caution"`` or ``"fine"``."""
        return next((name for name in VERDICTS if any(item.verdict == name for item in self.findings)), "fine")

    def table(self) -> Table:
        """Return a table with one finding per row, the worst first."""
        columns = (Column("question", "text"), Column("verdict", "text"), Column("answer", "text"))
        return Table("findings", columns, [(item.key, item.verdict, item.words) for item in self._worst_first()])

    def write_report(self, folder: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
        """Write ``report.html`` with verdict and findings into a folder, and return the page's path.

        Raises:
            MissingExtraError: the extra ``report`` is not installed.
        """
        lead = f"{VERDICTS[self.verdict]} {self._measured()}"
        note = "These findings follow from the predictions and the data. They cannot prove how a model was trained."
        section = Section("findings", "What was checked", (self.table(), Text(note, soft=True)))
        page = Page(f"Check of {self.name}", lead, (section,), dict(metadata or {}))
        return page.write(check_out(folder, for_page=True)).page

    def to_dict(self) -> dict[str, Any]:
        """Return accuracy, samples, verdict and findings, JSON-ready."""
        about = {"predictions": self.name, "split": self.split, "samples": self.samples}
        findings = [item.to_dict() for item in self.findings]
        return {**about, "accuracy": self.accuracy.to_dict(), "verdict": self.verdict, "findings": findings}

    def __str__(self) -> str:
        width = max(len(item.key) for item in self.findings)
        lines = [f"{item.key.ljust(width)}  {item.verdict.ljust(7)}  {item.words}" for item in self._worst_first()]
        return "\n".join([f"{VERDICTS[self.verdict]} {self._measured()}", *lines])

    def _worst_first(self) -> list[ClaimFinding]:
        return sorted(self.findings, key=lambda item: [*VERDICTS, "unknown"].index(item.verdict))

    def _measured(self) -> str:
        return f"Accuracy {share_text(self.accuracy)} on {counted(self.samples, 'sample')} of '{self.split}'."


def check(
    predictions: Claim,
    data: Data,
    split: Literal["train", "validation", "test", "all"] | None = None,
    *,
    against: Claim | None = None,
    claimed: float | None = None,
) -> ClaimResult:
    """Check the predictions behind a claimed accuracy.

    Are classes exchanged? Do copies of training images increase the accuracy? Are the predictions better than those in
    another file? Are they right more often than anybody can be? Were the labels of the split seen in training?

    Args:
        predictions: a CSV with a column of ids or files and one of classes (or one probability per class), or an .npz;
            in Python also values.
        data: labelled data that the claim is about.
        split: the split of the samples; default: that in an .npz, and test for a CSV.
        against: other predictions for the same samples.
        claimed: the accuracy that was claimed, 0..1.

    Raises:
        DataError: the predictions do not match the data or are for another split, or ``claimed`` is outside 0..1.
    """
    if claimed is not None and not 0 <= claimed <= 1:
        raise DataError(f"A claimed accuracy must be in 0..1, such as 0.732; found {claimed:g}.", code="options")
    source = read(data, FINGERPRINT_PX)
    claim, measured = _resolve(predictions, source, split or "test")
    if split not in {None, claim.predictions.split}:
        raise DataError(f"The predictions are for '{claim.predictions.split}', not '{split}'.", code="options")
    found = measured.predictions
    accuracy = proportion_among(found.right, groups=found.groups)
    findings = [
        _coverage(claim, accuracy, measured),
        _labels(claim.other_labels),
        *([] if claimed is None else [_claimed(claimed, accuracy)]),
        _size(accuracy),
        _exchange(found),
        _baseline(found),
        _copies(measured),
        *_annotators(found),
        *([] if against is None else [_against(found, _resolve(against, source, found.split)[1].predictions)]),
    ]
    name = str(predictions) if isinstance(predictions, str | os.PathLike) else "predictions"
    return ClaimResult(accuracy, len(found), findings, found.split, name)


def _resolve(given: Claim, source: ReadResult, split: str) -> tuple[ClaimedPredictions, MeasuredSplit]:
    given = given.predictions if isinstance(given, EvaluationResult) else given
    if isinstance(given, Predictions):
        claim = ClaimedPredictions(given, 0, 0)
    elif Path(given).suffix.casefold() == ".npz":
        claim = ClaimedPredictions(read_predictions(given), 0, 0)
    else:
        claim = read_predictions_csv(expand_home(given), source.faces, split)
    return claim, MeasuredSplit.resolve(claim.predictions, source.faces, uncleaned=source.uncleaned, part_of_split=True)


def _coverage(claim: ClaimedPredictions, accuracy: Estimate, measured: MeasuredSplit) -> ClaimFinding:
    count, split = len(claim.predictions), claim.predictions.split
    # A user's own split has no other samples.
    faces = measured.all_faces if split in {*SPLITS, ALL} else None
    expected = count if faces is None else len(faces.of_split(split))
    missing = expected - count
    if not missing:
        return ClaimFinding("all samples", "fine", f"Each of the {expected:,} samples has a prediction.")
    reason = f", {claim.without_answer:,} because their answer is not a class" if claim.without_answer else ""
    words = f"{missing:,} of {expected:,} samples have no prediction{reason}. If they count as wrong, the accuracy is "
    return ClaimFinding("all samples", "caution", f"{words}{percent(accuracy.value * count / expected)}.")


def _labels(other: int | None) -> ClaimFinding:
    if other is None:
        return ClaimFinding("labels", "unknown", "The file has no labels; those of the data are used.")
    words = f"{counted(other, 'label')} of the file differ from the data's, which are used here."
    return ClaimFinding("labels", "wrong" if other else "fine", words)


def _claimed(claimed: float, accuracy: Estimate) -> ClaimFinding:
    words = f"The claim is {percent(claimed, 2)}; the predictions give {percent(accuracy.value, 2)}."
    right = any(percent(claimed, digits) == percent(accuracy.value, digits) for digits in (1, 2))
    return ClaimFinding("claimed accuracy", "fine" if right else "wrong", words)


def _size(accuracy: Estimate) -> ClaimFinding:
    width = accuracy.high - accuracy.low
    words = f"The 95% interval is {100 * width:.1f} points wide: {share_text(accuracy)}."
    few = "" if width <= WIDE else " So few samples cannot tell good models apart."
    return ClaimFinding("interval", "caution" if few else "fine", words + few)


def _exchange(found: Predictions) -> ClaimFinding:
    best = best_exchange(confusion_matrix(found.labels, found.predicted, len(found.classes)))
    if best is None:
        return ClaimFinding("order of classes", "unknown", "There are too many classes to try every order of them.")
    renamed, accuracy, is_clear = best
    if not is_clear:
        return ClaimFinding("order of classes", "fine", "No other order of the classes fits the labels clearly better.")
    pairs = [f"{found.classes[at]} means {found.classes[to]}" for at, to in enumerate(renamed) if at != to]
    words = f"Classes are exchanged: {', '.join(pairs)}. In that order the accuracy is {percent(accuracy)}."
    return ClaimFinding("order of classes", "wrong", words)


def _baseline(found: Predictions) -> ClaimFinding:
    largest = int(np.bincount(found.labels).argmax())
    right, constant = found.right, found.labels == largest
    test = mcnemar_test(constant & ~right, right & ~constant, found.groups)
    words = f"Always '{found.classes[largest]}' gives {percent(constant.mean())}"
    is_better = right.sum() > constant.sum()
    verdict: Verdict = "wrong" if not is_better else "fine" if test.p_value < 0.05 else "caution"
    return ClaimFinding("better than one class", verdict, f"{words}; the difference has {p_text(test.p_value)}.")


def _copies(measured: MeasuredSplit) -> ClaimFinding:
    key = "copies of training images"
    clean = {subset.value: subset for subset in measured.subsets()}.get(WITHOUT_LEAKED)
    if clean is None or not clean.count:
        return ClaimFinding(key, "unknown", "Only validation and test samples can be copies of earlier splits.")
    everything = len(measured.predictions)
    if clean.count == everything:
        return ClaimFinding(key, "fine", "No sample is a copy of an image in an earlier split.")
    gain = measured.predictions.accuracy - clean.accuracy.value
    trained = "" if measured.predictions.trained_on is None else ", or the model was trained on them"
    words = (
        f"{everything - clean.count:,} of {everything:,} samples have a copy in an earlier split{trained}. Without "
        f"them the accuracy is {share_text(clean.accuracy)}."
    )
    return ClaimFinding(key, "caution" if gain >= 0.005 else "fine", words)


def _annotators(found: Predictions) -> list[ClaimFinding]:
    keys = "labels seen in training", "a second panel"
    ceiling = None if found.votes is None else vote_ceiling(found.votes.counts, found.votes.classes, found.groups)
    if found.votes is None or ceiling is None:
        return [ClaimFinding(key, "unknown", "The data has no votes of annotators.") for key in keys]
    predicted = found.predicted
    chosen = majority(found.votes.counts, found.votes.classes)
    place = {name: at for at, name in enumerate(found.classes)}
    seen = np.array([place.get(found.votes.classes[at], -1) if at >= 0 else -1 for at in chosen])
    contradicted, repeated = learned_labels(found.labels, predicted, seen, found.groups)
    is_clear = repeated.low > LEARNED_SHARE
    words = f"Labels that contradict most annotators: {contradicted:,}."
    words += f" The predictions repeat {share_text(repeated)}." if contradicted else ""
    if is_clear:
        words += " This cannot be chance: the model was probably trained on these samples."
    agree, high = proportion_among(predicted == seen, seen >= 0, found.groups), ceiling.best_answer.high
    panel = (
        f"The predictions agree with the annotators' majority on {share_text(agree)}. As many other people would on "
        f"{share_text(ceiling.second_panel)}, nobody can on more than about {share_text(ceiling.best_answer)}."
    )
    return [
        ClaimFinding(keys[0], "wrong" if is_clear else "fine" if contradicted else "unknown", words),
        ClaimFinding(keys[1], "unknown" if math.isnan(high) else "caution" if agree.low > high else "fine", panel),
    ]


def _against(found: Predictions, other: Predictions) -> ClaimFinding:
    first, second = shared_samples([found, other])
    second = second.subset(np.argsort(second.sample_ids)[np.argsort(np.argsort(first.sample_ids))])
    right = [each.right for each in (first, second)]
    test = mcnemar_test(right[1] & ~right[0], right[0] & ~right[1], first.groups)
    gain = bootstrap_mean(right[0].astype(np.float64) - right[1], groups=first.groups)
    words = (
        f"On {counted(len(first), 'sample')} the difference to the other file is {with_interval(gain, 'points')} points"
    )
    verdict: Verdict = "fine" if gain.value > 0 and test.p_value < 0.05 else "caution"
    return ClaimFinding("better than the other file", verdict, f"{words}, {p_text(test.p_value)}.")
