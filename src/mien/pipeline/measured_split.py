"""Predictions of one split with everything that their metrics need: faces, votes, groups, leaked samples. No torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Bools, Floats, Ints, Pixels, evenly
from mien.base.errors import DataError, RunError
from mien.base.files import whole_file
from mien.base.labels import SCHEMES, LabelScheme, parse_scheme
from mien.base.run_folder import RunFolder, find_run_of_model, is_shipped_run
from mien.checks.copies import in_conflict, leaked
from mien.data.dataset import ALL, SPLITS, Dataset
from mien.data.splits import group_identical, near_copy_groups
from mien.evaluation.estimates import evaluate_answers, evaluate_predictions, evaluate_subsets
from mien.evaluation.named_metrics import Metric
from mien.evaluation.predictions import MAX_DIFFERENCE, Predictions
from mien.evaluation.results import Evaluation, SubsetMetrics
from mien.evaluation.vote_metrics import evaluate_votes
from mien.inference.onnx_classifier import mean_over_views, noted_views
from mien.inference.predictor import Predictor
from mien.pipeline.split_predictions import votes_of, with_model_classes

CHECKED_SAMPLES = 64
"""Number of samples that a model predicts again, to check that it made the predictions."""


def faces_of_predictions(faces: Dataset, predictions: Predictions, *, part: bool = False) -> Dataset:
    """Convert the data to the classes of the predictions, by renaming or by a label scheme.

    If the predictions name no scheme, the first built-in one that gives their classes is used; if they are for this
    data, a custom one is inferred from the labels. Raises DataError if classes, samples or labels differ.
    """
    misfit: DataError | None = None
    schemes: list[LabelScheme | None] = [None]
    if not set(faces.classes) <= set(predictions.classes):
        schemes = [parse_scheme(predictions.scheme)] if predictions.scheme else []
        schemes += [scheme for scheme in SCHEMES.values() if set(scheme.classes) == set(predictions.classes)]
        schemes += [_scheme_of(faces, predictions)] if predictions.data_fingerprint else []
    for scheme in schemes:
        try:
            renamed = faces.with_scheme(scheme).with_classes(predictions.classes)
        except DataError:
            continue
        try:
            match_faces(renamed, predictions, part=part)
        except DataError as error:
            misfit = misfit or error
            continue
        return renamed
    both = " and ".join(", ".join(each.classes) for each in (predictions, faces))
    words = f"The classes of predictions and data differ: {both}. Rename classes of the data with --map."
    raise misfit or DataError(words, code="classes-differ")


def _scheme_of(faces: Dataset, predictions: Predictions) -> LabelScheme:
    """Infer the label scheme that maps the data's labels to those of the predictions, if there is one."""
    shared = np.isin(predictions.sample_ids, faces.rows)
    labels = predictions.labels[shared]
    own = faces.labels[faces.places(predictions.sample_ids[shared])]
    groups = {
        name: tuple(faces.classes[old] for old in np.unique(own[labels == new]))
        for new, name in enumerate(predictions.classes)
    }
    return LabelScheme("that of the predictions", groups)


def check_fingerprint(faces: Dataset, predictions: Predictions) -> None:
    """Raise a DataError unless predictions are for this data, at any size, cleaned or not, or have no fingerprint."""
    found = faces.fingerprint_for_predictions(predictions.split)
    if predictions.data_fingerprint not in {"", found, faces.fingerprint, *faces.cleaned_from}:
        words = f"The predictions are for data {predictions.data_fingerprint[:19]}...; found {found[:19]}...."
        raise DataError(f"{words} Give that data, with the same --clean and --map.", code="data-differs")


def match_faces(faces: Dataset, predictions: Predictions, *, part: bool = False) -> Dataset:
    """Select the faces of the predictions, which may be a part of a split; DataError if samples or labels differ."""
    is_known = predictions.split in {*SPLITS, ALL}
    faces = faces.of_split(predictions.split) if is_known else faces
    lone = (np.setxor1d if is_known and not part else np.setdiff1d)(predictions.sample_ids, faces.rows)
    if len(lone):
        words = f"There are {len(predictions)} predictions for '{predictions.split}' and {len(faces)} faces"
        raise DataError(f"{words}; {len(lone)} are in one of them only, such as {lone[0]}.", code="data-differs")
    chosen = faces.subset(faces.places(predictions.sample_ids))
    other = np.flatnonzero(chosen.labels != predictions.labels)
    if len(other):
        old, new = (predictions.classes[each.labels[other[0]]] for each in (predictions, chosen))
        words = f"The labels of {len(other)} samples differ: {predictions.sample_ids[other[0]]} is {old} in the"
        raise DataError(f"{words} predictions and {new} in the data.", code="data-differs")
    return chosen


def holds_test(predictions: Predictions, chosen: Dataset | None) -> bool:
    """Return whether any sample is in the test split, according to the predictions or to the faces."""
    return predictions.split == "test" or (chosen is not None and bool((chosen.split == "test").any()))


def check_model(model: Predictor, chosen: Dataset, predictions: Predictions) -> float | None:
    """Check on samples outside test that a model made the predictions; return their temperature, None for test."""
    checkable = np.flatnonzero((chosen.split != "test") & (predictions.split != "test"))
    if not len(checkable):
        return None
    some = evenly(checkable, CHECKED_SAMPLES)
    stored, gaps = predictions.probabilities[some], dict[float, Floats]()
    for temperature in (1.0, model.manifest.temperature):
        predict = partial(model.probabilities, temperature=temperature)
        again = mean_over_views(predict, np.asarray(chosen.images[some]), noted_views(predictions.note))
        gaps[temperature] = np.abs(again - stored).max(axis=1)
    temperature, gap = min(gaps.items(), key=lambda each: float(each[1].max()))
    if gap.max() > MAX_DIFFERENCE:
        differ = f"{(gap > MAX_DIFFERENCE).sum()} of {len(some)} differ, by up to {gap.max():.2g}"
        words = f"'{model.manifest.full_name}' did not make the predictions: {differ}. Give the one that did, or none."
        raise DataError(words, code="data-differs")
    return temperature


ALL_SAMPLES = "all samples"
WITHOUT_LEAKED = "without leaked samples"


@dataclass(frozen=True, eq=False)
class MeasuredSplit:
    """Predictions of one split with their data and models. :meth:`resolve` makes an object.

    Attributes:
        predictions: predictions for N samples, with groups and, if they had none, votes from the data.
        model: model that made the predictions; None if unknown.
        data: faces of all splits as they were given, at the model's input size; None without data.
        all_faces: faces of all splits with the classes of the predictions; None without data.
        faces: faces of the N predictions, in their order; None without data.
        reference: faces of all splits in which copies are searched; see :func:`leakage_reference`.
    """

    predictions: Predictions
    model: Predictor | None = None
    data: Dataset | None = None
    all_faces: Dataset | None = None
    faces: Dataset | None = None
    reference: Dataset | None = None

    @classmethod
    def resolve(
        cls,
        predictions: Predictions,
        faces: Dataset | None = None,
        model: Predictor | None = None,
        *,
        uncleaned: Dataset | None = None,
        part_of_split: bool = False,
    ) -> "MeasuredSplit":
        """Match predictions, by any model, with their data, all splits at the size of ``model``, which made them.

        Without a model, classes may differ if a label scheme converts them. ``uncleaned`` is the data before a list of
        changes was applied. ``part_of_split`` allows predictions for a part of the split. Raises DataError if they do
        not match.
        """
        if faces is None:
            return cls(predictions, model)
        check_fingerprint(faces, predictions)
        data, reference = faces, leakage_reference(model, faces, uncleaned)
        if model is not None:
            faces, reference = (with_model_classes(model, each) for each in (faces, reference))
        else:
            faces = faces_of_predictions(faces, predictions, part=part_of_split)
        chosen = match_faces(faces, predictions, part=part_of_split)
        if chosen.groups is not None:
            predictions = replace(predictions, groups=chosen.groups)
        if predictions.votes is None or predictions.votes.probabilities is None:
            predictions = replace(predictions, votes=votes_of(None, chosen) or predictions.votes)
        if model is not None:
            trained = trained_samples(model, data, predictions.split, predictions.sample_ids)
            predictions = replace(predictions, trained_on=trained) if trained.any() else predictions
        return cls(predictions, model, data, faces, chosen, reference)

    def with_scheme(self, scheme: LabelScheme | None) -> "MeasuredSplit":
        """Merge classes, and drop samples of others; copies are still searched with the model's own classes."""
        if scheme is None:
            return self
        predictions = self.predictions.with_scheme(scheme)
        if self.faces is None or self.all_faces is None:
            return replace(self, predictions=predictions)
        faces, everything = self.faces.with_scheme(scheme), self.all_faces.with_scheme(scheme)
        return replace(self, predictions=predictions, faces=faces, all_faces=everything)

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """Number of faces per class in each split of the data; empty without data."""
        return {} if self.all_faces is None else self.all_faces.counts_by_split()

    @cached_property
    def masks(self) -> Mapping[str, Bools]:
        """Masks of :func:`subset_masks`; samples that a model was trained on are leaked too."""
        masks = {} if self.reference is None else subset_masks(self.reference, self.predictions)
        if masks and self.predictions.trained_on is not None:
            masks[WITHOUT_LEAKED] &= ~self.predictions.trained_on
        return masks

    def subsets(self) -> list[SubsetMetrics]:
        """Compute metrics on all samples and without copies; empty without data, and for the training split."""
        return evaluate_subsets(self.predictions, self.masks)

    def evaluate(self, metrics: Sequence[Metric] = ()) -> Evaluation:
        """Compute all metrics, and further ones: of answers, on all samples, without copies, by votes and ratings."""
        return replace(
            evaluate_predictions(self.predictions, further=metrics),
            answer=evaluate_answers(self.predictions),
            subsets=tuple(self.subsets()),
            votes=None if self.predictions.votes is None else evaluate_votes(self.predictions, self.masks),
            trained_on=0 if self.predictions.trained_on is None else int(self.predictions.trained_on.sum()),
        )


def trained_samples(model: Predictor, data: Dataset, split: str, sample_ids: Ints) -> Bools:
    """Return samples of a split that a model was trained on, identical to none of an earlier split: bool (N,)."""
    known = digests_of(model) if split in {*SPLITS, ALL} else np.empty(0)
    # It is normal that a model was trained on the train split of its own data.
    if not len(known) or (data.matches_training_data(model.manifest.data_fingerprint) and split == "train"):
        return np.zeros(len(sample_ids), dtype=np.bool_)
    faces = with_model_classes(model, data)
    indices = faces.places(sample_ids)
    trained = np.isin(image_digests(faces.images, indices), known)
    return trained & ~leaked(group_identical(faces.images), faces.split)[indices] if trained.any() else trained


def subset_masks(faces: Dataset, predictions: Predictions) -> dict[str, Bools]:
    """Return masks of the samples without leaks, and without conflicting copies: bool (N,) by name.

    A validation sample is leaked if an identical image or near-copy is in train, a test sample if one is in train or
    validation. A sample has a conflicting copy if an identical image in any split has another label. If the data's
    splits divide its groups, a mask of samples in unseen groups is added. Other splits have no masks.

    ``faces`` is all data that the model was trained on, with the model's classes, or the data's if it is unknown.
    """
    if predictions.split not in {"validation", "test"}:
        return {}
    if predictions.split == "validation":
        # Drop test, so that results for validation are the same with and without a test split.
        faces = faces.subset(faces.split != "test")
    images = np.asarray(faces.images)
    groups = faces.groups
    indices = faces.places(predictions.sample_ids)
    kept = {
        ALL_SAMPLES: np.ones(len(predictions), dtype=np.bool_),
        WITHOUT_LEAKED: ~leaked(near_copy_groups(images), faces.split)[indices],
        "without conflicting copies": ~in_conflict(group_identical(images), faces.labels)[indices],
    }
    if groups is not None and (known := leaked(groups, faces.split)[indices]).any():
        kept[f"without groups seen before ({faces.group_column})"] = ~known
    return kept


def leakage_reference(model: Predictor | None, faces: Dataset, uncleaned: Dataset | None) -> Dataset:
    """Return the faces in which copies are searched: uncleaned, unless the model was trained on the cleaned ones."""
    of_cleaned = model is not None and faces.matches_training_data(model.manifest.data_fingerprint)
    return faces if uncleaned is None or of_cleaned else uncleaned


def image_digests(images: Pixels, indices: Ints) -> npt.NDArray[np.uint64]:
    """Compute the first 8 bytes of BLAKE2b of the images (N, ...) at indices (K,), read one by one: uint64 (K,)."""
    digests = b"".join(hashlib.blake2b(images[place].tobytes(), digest_size=8).digest() for place in indices)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_trained_on(run: RunFolder, faces: Dataset, start: RunFolder | None = None) -> None:
    """Write the digests of the training images as the network sees them, with those of ``start`` or of the file."""
    digests = image_digests(faces.images, np.flatnonzero(faces.split == "train"))
    write_digests(run, np.concatenate([digests, read_trained_on(start or run)]))


def write_digests(run: RunFolder, digests: npt.NDArray[np.uint64]) -> None:
    """Write sorted digests, each once. Raises RunError if the file cannot be written."""
    with whole_file(run.trained_on) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, np.unique(digests), allow_pickle=False)


def read_trained_on(run: RunFolder) -> npt.NDArray[np.uint64]:
    """Read the digests of a run, or of all built-in models; empty for an earlier mien; else RunError."""
    shared = run.path.with_name(run.trained_on.name)
    try:
        with (shared if is_shipped_run(run) else run.trained_on).open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except (OSError, ValueError, EOFError):
        words = f"{run.trained_on} is damaged. Train again, or remove it to measure without it."
        raise RunError(words, code="run-damaged") from None


def digests_of(model: Predictor) -> npt.NDArray[np.uint64]:
    """Return the digests of a model's run: uint64 (D,). Errors are as in :func:`read_trained_on`."""
    run = find_run_of_model(model.path)
    return np.empty(0, dtype=np.uint64) if run is None else read_trained_on(run)
