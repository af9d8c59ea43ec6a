"""The audit put together: from faces, and the scores of a model where there are any, to what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.audit.copies import count_copies, in_conflict, leaked
from mien.audit.label_errors import check_evidence, doubt_labels
from mien.audit.near_copies import NearCopies, find_near_copies
from mien.audit.outliers import TURNED_FROM, find_outliers
from mien.audit.picture_faults import (
    FEW_TONES_BELOW,
    FRAME_FROM,
    LITTLE_DETAIL_BELOW,
    NEAR_BLANK_BELOW,
    detail,
    frame_step,
    tones,
)
from mien.audit.ranking import ranking_worth
from mien.audit.suggest import suggest_changes
from mien.audit.votes import COLUMN, Votes, read_votes
from mien.data.clean import BLANK_BELOW
from mien.data.faceset import SPLITS, FaceSet
from mien.data.splits import group_identical
from mien.errors import DataError
from mien.evaluation.evaluate import on_subsets
from mien.evaluation.face_numbers import brightness, contrast, sharpness
from mien.evaluation.intervals import share_of
from mien.evaluation.scores import Scores
from mien.experiments.audit_estimates import LEAST_ROWS, ceilings, shortcuts, splits_apart
from mien.experiments.matching import check_fingerprint, match_faces
from mien.experiments.measure import ALL_ROWS
from mien.progress import busy
from mien.report.audit_material import AuditMaterial, Fault, Judged


@dataclass(frozen=True, eq=False)
class Copies:
    """Which faces are the same picture; found first, because cross-validation keeps copies together.

    Attributes:
        identical: int64 (N,), identical pictures share a number.
        near: near-copies among them.
        contrast: float64 (N,), deviation of each picture's pixels.
    """

    identical: npt.NDArray[np.int64]
    near: NearCopies
    contrast: npt.NDArray[np.float64]


def find_copies(faces: FaceSet) -> Copies:
    """Find identical pictures and near-copies. Raises MissingExtraError without the extra ``audit``."""
    images = np.asarray(faces.images)
    with busy("counting copies"):
        identical, deviation = group_identical(images), contrast(images)
    return Copies(identical, find_near_copies(images, identical, deviation), deviation)


def audit_faces(faces: FaceSet, copies: Copies, scores: Scores | None = None, resamples: int = 1000) -> AuditMaterial:
    """Find what would make a score wrong.

    Args:
        faces: all splits, as they were read.
        copies: of :func:`find_copies`.
        scores: of a model that learnt neither these rows nor copies of them, under the data's classes; None: nothing is
            said about labels that only a model can doubt.
        resamples: bootstrap resamples behind each interval.

    Raises:
        DataError: scores of other data, negative votes.
        MissingExtraError: a package of the extra ``audit`` is not installed.
    """
    if scores is not None:
        faces = _under_classes_of(scores, faces)
    votes = read_votes(faces)
    images = np.asarray(faces.images)
    near, groups = copies.near, copies.near.groups
    light = {"brightness": brightness(images), "contrast": copies.contrast, "sharpness": sharpness(images)}
    few_tones = tones(images)
    outliers = find_outliers(images, [-few_tones])
    with busy("telling splits and classes apart"):
        apart = tuple(splits_apart(faces, images, light, groups, resamples))
        telling = tuple(shortcuts(faces, images, light, groups, resamples))
    judged = None if scores is None else _judge(faces, scores, copies, votes, resamples)
    doubted, suggested = np.zeros(len(faces), dtype=np.bool_), faces.labels.copy()
    if judged is not None:
        doubted[judged.places], suggested[judged.places] = judged.doubts.sure, judged.doubts.suggested
    outlier_worth = None
    if votes is not None and votes.known.any():
        outlier_worth = ranking_worth(outliers.score[votes.known], votes.not_a_face[votes.known] > 0.5)
    blank = copies.contrast < BLANK_BELOW
    not_a_face = np.zeros(len(faces), dtype=np.bool_) if votes is None else votes.not_a_face > 0.5
    return AuditMaterial(
        faces=faces,
        identical=copies.identical,
        near=near,
        identical_counts=count_copies(copies.identical, faces.labels, faces.split),
        near_counts=count_copies(groups, faces.labels, faces.split),
        light=light,
        faults=_faults(images, copies.contrast, few_tones, outliers.turned_by.astype(np.float64)),
        outliers=outliers,
        votes=votes,
        outlier_worth=outlier_worth,
        splits_apart=apart,
        shortcuts=telling,
        ceilings=tuple(ceilings(faces, votes, copies.identical, groups, resamples)),
        judged=judged,
        changes=tuple(suggest_changes(faces, blank, not_a_face, copies.identical, groups, doubted, suggested)),
        notes=() if votes is None else votes.notes,
        left_out=tuple(_left_out(faces, votes, judged)),
    )


def check_audit(faces: FaceSet, scores: Scores | None) -> None:
    """Refuse what :func:`audit_faces` would, and scores that it cannot know to be useless, before copies are sought.

    Raises:
        DataError: negative votes; rows of one class alone; scores of other data, of rows that the model learnt, of test
            rows, or of no row of some class.
    """
    read_votes(faces)
    with_rows = [name for name, count in zip(faces.classes, faces.counts(), strict=True) if count]
    if len(with_rows) < 2:
        raise DataError(f"An audit needs rows of at least two classes; there are rows of {with_rows[0]} alone.")
    if scores is None:
        return
    if scores.split == "train":
        raise DataError(
            "Scores of the train split are by a model that learnt these very labels, so they judge none. Give scores "
            "of rows that it did not learn, or --recipe NAME."
        )
    if scores.split == "test" or bool((np.isin(faces.rows, scores.rows) & (faces.split == "test")).any()):
        raise DataError("Only mien evaluate opens the test split; give scores of other rows.")
    renamed = _under_classes_of(scores, faces)
    judged = np.isin(renamed.rows, scores.rows)
    of_train = judged & (renamed.split == "train")
    evidence, what = (of_train, "train row") if of_train.any() else (judged, "row")
    check_evidence(renamed.labels[evidence], len(renamed.classes), what)


def _under_classes_of(scores: Scores, faces: FaceSet) -> FaceSet:
    """The faces with labels that count as those of the scores. Raises DataError for scores of something else."""
    if set(scores.classes) != set(faces.classes):
        raise DataError(
            f"The scores are of the classes {', '.join(scores.classes)}, the data has {', '.join(faces.classes)}. An "
            f"audit needs scores of the data's own classes."
        )
    check_fingerprint(faces, scores)
    renamed = faces.with_classes(scores.classes)
    match_faces(renamed, scores)
    return renamed


def _faults(
    images: npt.NDArray[np.uint8],
    deviation: npt.NDArray[np.float64],
    few_tones: npt.NDArray[np.float64],
    turned_by: npt.NDArray[np.float64],
) -> dict[str, Fault]:
    visible = deviation >= NEAR_BLANK_BELOW
    fine, step = detail(images), frame_step(images)
    return {
        "blank": Fault(deviation < BLANK_BELOW, "one grey level, near enough", deviation),
        "near-blank": Fault(~visible & (deviation >= BLANK_BELOW), "hardly anything to be seen", deviation),
        "text or drawing": Fault(visible & (few_tones < FEW_TONES_BELOW), "few tones for its contrast", few_tones),
        "blurred or enlarged": Fault(visible & (fine < LITTLE_DETAIL_BELOW), "hardly any fine detail", fine),
        "framed": Fault(visible & (step >= FRAME_FROM), "a plain strip along a border", -step),
        "turned": Fault(
            visible & (turned_by >= TURNED_FROM), "fits the average picture better when that is turned", -turned_by
        ),
    }


def _judge(faces: FaceSet, scores: Scores, copies: Copies, votes: Votes | None, resamples: int) -> Judged:
    places = faces.places(scores.rows)
    groups = copies.near.groups
    with busy("looking for wrong labels"):
        of_train = np.asarray(faces.split[places] == "train")
        doubts = doubt_labels(scores.labels, scores.probabilities, groups[places], of_train)
    worth = outvoted = None
    if votes is not None:
        mine = votes.of(places)
        usable = mine.known & ~np.isnan(mine.for_label(scores.labels, len(scores.classes)))
        against = _outvoted(mine, scores.labels)
        if usable.any():
            worth = ranking_worth(doubts.suspicion[usable], against[usable])
            outvoted = share_of((doubts.flagged & usable & against).sum(), (doubts.flagged & usable).sum())
    kept = {ALL_ROWS: np.ones(len(scores), dtype=np.bool_)}
    for how, numbers in (("identical", copies.identical), ("identical or near", groups)):
        if _of_one_model(scores):
            kept[f"without rows seen before ({how})"] = ~leaked(numbers, faces.split)[places]
        kept[f"without rows whose copies disagree ({how})"] = ~in_conflict(numbers, faces.labels)[places]
    return Judged(places, scores, of_train, doubts, worth, outvoted, tuple(on_subsets(scores, kept, resamples)))


def _of_one_model(scores: Scores) -> bool:
    """Whether one model that learnt train gave the scores, of rows that a copy in an earlier split may have shown it.

    Out of fold, copies are kept from the model that is asked; what scores of any other name saw, nobody knows.
    """
    return scores.split in {"validation", "test"}


def _outvoted(votes: Votes, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether more than half of the voters gave one answer that is not the label."""
    shares = np.nan_to_num(votes.shares)
    top = shares.argmax(axis=1)
    return np.asarray((shares.max(axis=1) > 0.5) & (votes.class_of_answer[top] != labels))


def _left_out(faces: FaceSet, votes: Votes | None, judged: Judged | None) -> Iterator[str]:
    if votes is None or not votes.known.any():
        lacking = f"usable column {COLUMN} (ten numbers a row)" if votes is None else f"vote in its column {COLUMN}"
        yield (
            f"The data has no {lacking}, so nothing here is checked against people's votes: not what the rankings of "
            "doubtful labels and of outliers are worth, nor the ceiling that disagreement puts on accuracy."
        )
    if judged is None:
        yield (
            "No model judged the labels: --recipe quick makes out-of-fold probabilities (hours on FER2013), --scores "
            "FILE brings some. Without them only copies with other labels are known to conflict."
        )
    if judged is not None and not _of_one_model(judged.scores):
        yield (
            f"The scores are of '{judged.scores.split}', not of validation: no score without rows seen before is "
            "given. Out of fold no model saw a row, or a copy of it, before it was asked; of other scores nobody knows."
        )
    if judged is not None and len(judged.places) < len(faces):
        yield f"The scores are of {len(judged.places):,} of {len(faces):,} rows; no model judged the other labels."
    missing = [name for name in SPLITS if not (faces.split == name).any()]
    if missing:
        yield f"The data has no split {' and no '.join(missing)}: nothing is said about copies that cross into it."
    small = [name for name in SPLITS if 0 < (faces.split == name).sum() < LEAST_ROWS]
    if small:
        yield f"Fewer than {LEAST_ROWS} rows are in {' and '.join(small)}: too few to be told from other splits."
