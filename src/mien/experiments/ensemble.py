"""Several models asked together: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mien.data.faceset import FaceSet
from mien.errors import DataError
from mien.evaluation.ensemble import average_scores
from mien.evaluation.scores import Scores
from mien.experiments.measure import faces_for, fitted_on, score_split, temperature_words
from mien.inference.classifier import Classifier

Member = tuple[Classifier, FaceSet]
"""A model, and the data read at its size."""


def check_members(members: Sequence[Member]) -> None:
    """Refuse models of other classes than the first's, or than the data's. Raises :class:`DataError`."""
    first = members[0][0]
    for classifier, faces in members:
        if set(classifier.classes) != set(first.classes):
            raise DataError(
                f"Answers are averaged of the same classes; {first.manifest.full_name} knows "
                f"{', '.join(first.classes)}, {classifier.manifest.full_name} knows {', '.join(classifier.classes)}."
            )
        faces_for(classifier, faces)


def score_together(members: Sequence[Member], split: str, views: int = 1, temperature: float | None = None) -> Scores:
    """The mean of what models say of each face of a split, each with its own temperature.

    Args:
        members: at least one; of several the same data.
        split: train, validation or test.
        views: how often each face is shown to each.
        temperature: as in :func:`mien.experiments.measure.score_split`.

    Raises:
        DataError: as :func:`mien.experiments.measure.score_split`; models of different classes.
    """
    first, *others = (score_split(classifier, faces, split, views, temperature) for classifier, faces in members)
    if not others:
        return first
    # Faces read at another size have another fingerprint; rows and labels are compared all the same.
    mean = average_scores([first, *(replace(each, data_fingerprint="") for each in others)])
    names = ", ".join(classifier.manifest.full_name for classifier, _ in members)
    return replace(
        mean, note=f"the mean of {len(members)} models ({names})" + (f", {first.note}" if first.note else "")
    )


def temperatures_in_words(members: Sequence[Member], split: str) -> str:
    """What :func:`score_together` did with the models' temperatures, for a reader of the figures."""
    if len(members) == 1:
        return temperature_words(*members[0], split)
    if all(fitted_on(classifier, faces, split) for classifier, faces in members):
        return "without the models' temperatures, which were fitted on these rows"
    return "; ".join(
        f"{classifier.manifest.full_name} {temperature_words(classifier, faces, split)}"
        for classifier, faces in members
    )
