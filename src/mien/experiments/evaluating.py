"""What ``mien evaluate`` measures: models on a split, or scores of anybody's model. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mien.data.faceset import FaceSet
from mien.data.read import ReadResult
from mien.errors import DataError, nearest
from mien.evaluation.evaluate import break_down, evaluate_scores, parts_of
from mien.evaluation.results import Evaluation, Part
from mien.evaluation.scores import Scores
from mien.evaluation.threshold import DEFAULT_THRESHOLD, ThresholdResult, measure_threshold
from mien.experiments.ensemble import Member, check_members, score_together, temperatures_in_words
from mien.experiments.measure import faces_for, merged_words, seen_by, try_threshold, without_copies
from mien.inference.classifier import Classifier
from mien.labels import LabelScheme, check_threshold


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        split: train, validation or test; of scores alone, that which they are of.
        by: a column of the data to break figures down by; None for none.
        views: how often each face is shown; see :mod:`mien.inference.views`.
        scheme: merges the answers' classes; None leaves them.
        threshold: between two classes, 0..1; None takes the default where there are two.
    """

    split: str = "validation"
    by: str | None = None
    views: int = 1
    scheme: LabelScheme | None = None
    threshold: float | None = None

    @property
    def at(self) -> float:
        """The threshold that two classes have, whether one was named or not."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True)
class Measured:
    """What a split's answers came to.

    Attributes:
        asked: what was to be measured.
        answers: as they were given.
        scores: the same under the classes that were asked for.
        evaluation: their figures.
        threshold: where there are two classes.
        parts: figures by the column that was asked for.
        subsets: figures without what identical pictures do to them; none of scores alone.
        class_counts: faces of each class in each split of the data; none of scores alone.
        tempered: in words, what was done with the models' temperatures; empty of scores alone that name none.
    """

    asked: Asked
    answers: Scores
    scores: Scores
    evaluation: Evaluation
    threshold: ThresholdResult | None
    parts: Sequence[Part] = ()
    subsets: Sequence[Part] = ()
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    tempered: str = ""

    @property
    def merged(self) -> str:
        """In words, what merging classes did; empty where nothing was merged."""
        return "" if self.asked.scheme is None else merged_words(self.answers, self.scores, self.asked.scheme)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        content = self.evaluation.to_dict()
        if self.scores.note:
            content["answers"] = self.scores.note
        if self.threshold is not None:
            content["threshold"] = self.threshold.to_dict()
        if self.subsets:
            content["subsets"] = [part.to_dict() for part in self.subsets]
        if self.asked.by is not None:
            content["by"] = {"column": self.asked.by, "parts": [part.to_dict() for part in self.parts]}
        return content


def measure_scores(answers: Scores, asked: Asked) -> Measured:
    """Measure scores alone, of rows that nobody here has seen: of what is asked, the scheme and the threshold.

    Raises:
        DataError: the scheme does not fit the scores, or a threshold not two classes.
    """
    scores = answers.with_scheme(asked.scheme)
    tried = None
    if asked.threshold is not None or len(scores.classes) == 2:
        tried = measure_threshold(scores, asked.at, scores if scores.split == "validation" else None)
    known = answers.temperature is not None
    tempered = f"at temperature {answers.temperature:.3g}" if known else ""
    return Measured(asked, answers, scores, evaluate_scores(scores), tried, tempered=tempered)


def check_asked(asked: Asked, classifier: Classifier) -> None:
    """Refuse classes and thresholds that the model's answers do not have. Raises :class:`DataError`."""
    classes = classifier.classes
    if asked.scheme is not None:
        asked.scheme.mapping(classes, "the model")
        classes = asked.scheme.classes
    if asked.threshold is not None:
        check_threshold(asked.threshold, classes)


def ask_models(classifiers: Sequence[Classifier], results: Sequence[ReadResult], asked: Asked) -> Scores:
    """What models say of each face of a split, their mean; of test this opens it.

    Args:
        classifiers: at least one.
        results: the data, read at the size of each.
        asked: checked by :func:`check_asked`.

    Raises:
        DataError: as :func:`mien.experiments.ensemble.score_together`; no column of the name, or one that cannot
            break figures down; a scheme that leaves no face.
    """
    members = _members(classifiers, results)
    # All that can be refused is, before a face is read: afterwards a test split would have been opened for nothing.
    check_members(members)
    column = _column(*members[0], asked)
    if column is not None:
        parts_of(column)
    return score_together(members, asked.split, asked.views)


def measure_models(
    classifiers: Sequence[Classifier], results: Sequence[ReadResult], asked: Asked, answers: Scores
) -> Measured:
    """Measure ``answers`` of :func:`ask_models`, whose other arguments these are."""
    classifier, result, split, scheme = classifiers[0], results[0], asked.split, asked.scheme
    column = _column(classifier, result.faces, asked)
    scores = answers.with_scheme(scheme)
    tried = None
    if len(scores.classes) == 2 and answers.note:
        tried = measure_threshold(scores, asked.at, scores if split == "validation" else None)
    elif len(scores.classes) == 2:
        tried = try_threshold(classifier, result.faces, answers, scheme, asked.at)
    seen = seen_by(classifiers, result.faces, result.uncleaned)
    return Measured(
        asked,
        answers,
        scores,
        evaluate_scores(scores),
        tried,
        parts=[] if column is None else break_down(scores, column),
        subsets=without_copies(faces_for(classifier, seen), scores),
        class_counts=faces_for(classifier, result.faces).with_scheme(scheme).counts_by_split(),
        tempered=temperatures_in_words(_members(classifiers, results), split),
    )


def _members(classifiers: Sequence[Classifier], results: Sequence[ReadResult]) -> list[Member]:
    return [(each, result.faces) for each, result in zip(classifiers, results, strict=True)]


def _column(classifier: Classifier, faces: FaceSet, asked: Asked) -> Any:
    """The column that breaks figures down, on the rows that are measured; None without a name.

    Raises:
        DataError: no such column, or one of several values a face; a scheme that leaves no face, whatever the name.
    """
    faces = faces_for(classifier, faces.of_split(asked.split)).with_scheme(asked.scheme)
    by = asked.by
    if by is None:
        return None
    if by == "split":
        raise DataError(f"An evaluation is of one split, here '{asked.split}'; measure another with --split.")
    if by not in faces.columns:
        known = nearest(by, faces.columns) if faces.columns else " It has none beside pictures and labels."
        raise DataError(f"The data has no column '{by}'." + known)
    if faces.columns[by].ndim != 1:
        raise DataError(f"The column '{by}' holds {faces.columns[by].shape[1]} values a face; --by takes one with one.")
    return faces.columns[by]
