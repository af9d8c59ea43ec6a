"""Teachers' predictions for each image of an epoch, from their predictions files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.data.dataset import Dataset
from mien.evaluation.calibration import apply_temperature
from mien.evaluation.predictions import Predictions, Teacher, read_predictions
from mien.training.heads.head import Output

MIN_AGREEMENT = 0.9
"""If fewer labels than this fraction are equal, the predictions are for other data. A label review changes fewer than a
tenth; on other data, about a quarter would be equal by chance."""


def teacher_targets(
    recipe: Recipe, outputs: Sequence[Output], teachers: Sequence[Teacher], faces: Dataset
) -> list[npt.NDArray[np.float64] | None]:
    """Compute the mean prediction of teachers, for the label's output and each other output of the same name.

    ``faces`` are those of an epoch in its order, with the student's classes. Repeated or relabelled faces use the soft
    label of their row. Returns for each output float64 (N, classes), None if no teacher has it; those for the label's
    output are softened by the temperature T: p^(1/T), rescaled.

    Raises DataError: soft labels for other classes or data, or a face without a soft label.
    """
    known = [(each.file, read_predictions(each.predictions)) for each in teachers]
    # Predictions with the student's classes have its scheme already.
    scheme = parse_scheme(recipe.classes)
    labels = [
        (path, each if set(each.classes) == set(faces.classes) else each.with_scheme(scheme)) for path, each in known
    ]
    stored: list[npt.NDArray[np.float64] | None] = [soft_labels(labels, faces, recipe.distill.temperature)]
    for output in outputs[1:]:
        taught, values = [], []
        for (path, each), (_, shown) in zip(known, labels, strict=True):
            votes = each.votes
            if votes is not None and votes.output == output.name and votes.probabilities is not None:
                # The label scheme may drop samples. A label scheme always drops votes, so take those from before.
                kept = np.isin(each.sample_ids, shown.sample_ids)
                taught.append((path, shown))
                values.append(votes.probabilities[kept][:, _columns(str(path), votes.classes, output.classes)])
        stored.append(_mean_by_row(taught, values, faces) if taught else None)
    return stored


def soft_labels(
    predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, temperature: float
) -> npt.NDArray[np.float64]:
    """Average the softened predictions for each face over the teachers that have its row. -> float64 (N, C).

    Teachers that have all rows are therefore averaged, and out-of-fold predictions are combined. Raises DataError:
    other classes than the faces', other data, or a face without predictions.
    """
    softened = []
    for path, each in predictions:
        columns = _columns(str(path), each.classes, faces.classes)
        softened.append(apply_temperature(each.probabilities, temperature)[:, columns])
    return _mean_by_row(predictions, softened, faces)


def _mean_by_row(
    predictions: Sequence[tuple[Path, Predictions]], values: Sequence[npt.NDArray[np.float64]], faces: Dataset
) -> npt.NDArray[np.float64]:
    """Average values for each face over the teachers that have its row."""
    total = np.zeros((len(faces), values[0].shape[1]))
    known = np.zeros(len(faces), dtype=np.int64)
    for (path, teacher), own in zip(predictions, values, strict=True):
        order = np.argsort(teacher.sample_ids)
        place = order[np.searchsorted(teacher.sample_ids, faces.rows, sorter=order).clip(max=len(teacher) - 1)]
        has = teacher.sample_ids[place] == faces.rows
        named = np.array(teacher.classes)[teacher.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < MIN_AGREEMENT:
            words = f"{path} is for other data: only {named[has].mean():.0%} of its labels are equal. "
            words += "Give the model itself as teacher."
            raise DataError(words, code="teacher-other-data")
        total[has] += own[place[has]]
        known += has
    if not known.all():
        words = f"{', '.join(str(path) for path, _ in predictions)}: no prediction for {(known == 0).sum():,} of "
        words += f"{len(faces):,} train faces, such as row {faces.rows[known == 0][0]}. Give the model as teacher."
        raise DataError(words, code="teacher-incomplete")
    return np.asarray(total / known[:, None])


def _columns(name: str, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    if set(known) != set(wanted):
        words = f"The teacher {name} has the classes {', '.join(known)}; it needs the student's, {', '.join(wanted)}."
        raise DataError(words, code="teacher-classes")
    return [known.index(each) for each in wanted]
