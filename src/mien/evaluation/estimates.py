"""Evaluate predictions: headline metrics with intervals, metrics per class, the confusion matrix."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mien.base.arrays import MISSING, Array, Bools, Groups, Ints, Texts, is_missing
from mien.base.errors import DataError
from mien.base.labels import UNSURE
from mien.evaluation import metrics, results
from mien.evaluation.metrics import proportion_among, share_difference
from mien.evaluation.named_metrics import HEADLINES, Metric, estimates, find_metrics
from mien.evaluation.paired_tests import holm
from mien.evaluation.predictions import Predictions

MAX_GROUPS = 100
"""Largest number of distinct values of a grouping column. A column with more probably holds names or measurements."""

MIN_COMPARED = 20
"""Fewer samples than this are not compared with the others."""


def evaluate_predictions(
    predictions: Predictions, resamples: int = 1000, further: Sequence[Metric] = ()
) -> results.Evaluation:
    """Compute all metrics of ``predictions``: the headline metrics, those of ratings, and ``further`` ones.

    Intervals are percentile bootstrap intervals over samples (Efron & Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13): N samples are drawn with replacement ``resamples`` times, and the interval runs from the 2.5th to
    the 97.5th percentile of the metric. An interval depends only on predictions and resamples. If the predictions have
    groups, whole groups are drawn, because samples of one person are not independent.
    """
    confusion = metrics.confusion_matrix(predictions.labels, predictions.predicted, len(predictions.classes))
    counts = confusion.sum(axis=-1)
    columns = [measure(confusion) for measure in (metrics.precision, metrics.recall, metrics.f1)]
    per_class = np.stack([*columns, metrics.roc_auc(predictions.labels, predictions.probabilities)])
    macro, weighted = (over(per_class, counts).tolist() for over in (metrics.macro_average, metrics.weighted_average))
    standard = [*HEADLINES, *(() if predictions.rated is None else predictions.rated.metrics)]
    chosen = find_metrics([*standard, *(each for each in find_metrics(further) if each.key not in standard)])
    return results.Evaluation(
        split=predictions.split,
        samples=len(predictions),
        classes=predictions.classes,
        data_fingerprint=predictions.data_fingerprint,
        headline=estimates(predictions, chosen, resamples),
        metrics=tuple(chosen),
        per_class=tuple(map(results.ClassMetrics, predictions.classes, counts.tolist(), *per_class.tolist())),
        macro=results.ClassMetrics("macro average", len(predictions), *macro),
        weighted=results.ClassMetrics("weighted average", len(predictions), *weighted),
        confusion=confusion,
        resamples=resamples,
        groups=None if predictions.groups is None else len(np.unique(predictions.groups)),
        note=predictions.note,
    )


def group_values(values: Array) -> tuple[Array, Ints]:
    """Return the sorted distinct values of a column (N,), and the index of each sample's value, int64 (N,).

    Numbers in text sort as numbers: 3-9 before 10-19. A missing value is no group: index -1. Numbers are cut by
    :func:`in_quarters` if most of them have fewer than :data:`MIN_COMPARED` samples.

    Raises DataError for more than :data:`MAX_GROUPS` distinct values, or none.
    """
    if values.dtype.kind == "f":  # whole numbers with gaps were read as fractions
        values = np.array([np.format_float_positional(each + 0, trim="-") for each in values])
    elif values.dtype.kind == "O":
        values = np.array(["" if each is None else str(each) for each in values])
    counts = np.unique(values, return_counts=True)[1]
    if 0 < len(counts) <= MAX_GROUPS and np.median(counts) < MIN_COMPARED:
        values = in_quarters(values.astype(str))
    distinct, group_of = np.unique(values, return_inverse=True)
    known = [at for at, value in enumerate(distinct) if not is_missing(value)]
    if not known:
        raise DataError("The column to group by has no values.", code="group")
    if len(known) > MAX_GROUPS:
        such = " and ".join(map(str, distinct[known[:2]]))
        words = f"A column to group by has at most {MAX_GROUPS} distinct values; found {len(known)}, such as {such}."
        raise DataError(words, code="group")
    order = sorted(known, key=lambda at: _by_number(str(distinct[at])))
    place = np.full(len(distinct), -1)
    place[order] = np.arange(len(order))
    return distinct[order], place[group_of]


def in_quarters(values: Texts) -> Texts:
    """Return repeating numbers of more than ten values as up to four ranges, ``18 to 31``; all other values as is."""
    known = ~np.isin(np.char.lower(np.char.strip(values)), list(MISSING))
    try:
        numbers = np.char.replace(values[known], "_", "?").astype(np.float64)  # 3_1 is the name of something
    except ValueError:
        return values
    # Numbers that hardly repeat are names of images.
    if not 10 < len(np.unique(numbers)) <= len(numbers) / 2 or not np.isfinite(numbers).all():
        return values
    quarter = np.searchsorted(np.quantile(numbers, (0.25, 0.5, 0.75)), numbers)
    cut = values.astype(object)
    for own in (known.nonzero()[0][quarter == each] for each in np.unique(quarter)):
        ends = (np.format_float_positional(end(values[own].astype(np.float64)), trim="-") for end in (np.min, np.max))
        cut[own] = " to ".join(ends)
    return cut.astype(str)


def _by_number(value: str) -> list[tuple[float, str]]:
    parts = re.split(r"((?<!\d)-?\d+(?:\.\d+)?)", value)  # numbers are at odd places
    return [(float(part), "") if at % 2 else (np.inf, part) for at, part in enumerate(parts) if part]


def break_down(column: str, predictions: Predictions, values: Array, resamples: int = 1000) -> results.BreakDown:
    """Compute accuracy and macro-F1 for each value of a column (N,); :func:`share_gaps` compares the values."""
    distinct, group_of = group_values(values)
    kept = {str(value): group_of == index for index, value in enumerate(distinct)}
    labels = predictions.labels
    counted = {"accuracy": labels >= 0}
    counted |= {f"recall of {name}": labels == at for at, name in enumerate(predictions.classes)}
    hits = {metric: (predictions.right, among) for metric, among in counted.items()}
    gaps = share_gaps(hits, values, predictions.groups)
    return results.BreakDown(column, tuple(evaluate_subsets(predictions, kept, resamples)), gaps)


def share_gaps(
    metrics_by_name: Mapping[str, tuple[Bools, Bools]], values: Array, groups: Groups | None = None
) -> tuple[results.GroupGap, ...]:
    """Compare shares for each value of a column (N,) with all samples of another value.

    A metric has bool (N,) hits, and bool (N,) samples among which they count. Both sides need :data:`MIN_COMPARED`
    samples. If there are two values, only the first is compared. Raises as :func:`group_values`.
    """
    distinct, group_of = group_values(values)
    known, found = group_of >= 0, []
    for at, value in enumerate(distinct[: 1 if len(distinct) == 2 else None]):
        for metric, (right, counted) in metrics_by_name.items():
            hits, inside = right[counted & known], group_of[counted & known] == at
            among = None if groups is None else groups[counted & known]
            if min(inside.sum(), (~inside).sum()) >= MIN_COMPARED:
                rate, compared = proportion_among(hits, inside, among), share_difference(hits, inside, among)
                found.append(results.GroupGap(str(value), metric, int(inside.sum()), rate, *compared))
    return tuple(replace(gap, p_value=p) for gap, p in zip(found, holm([gap.p_value for gap in found]), strict=True))


def evaluate_subsets(
    predictions: Predictions, kept: Mapping[str, Bools], resamples: int = 1000
) -> list[results.SubsetMetrics]:
    """Compute accuracy and macro-F1 on subsets given by masks, each resampled separately; an empty one has NaN."""
    unknown = dict.fromkeys(("accuracy", "macro_f1"), results.Estimate(math.nan))
    return [
        results.SubsetMetrics(
            name,
            int(inside.sum()),
            **(estimates(predictions.subset(inside), tuple(unknown), resamples) if inside.any() else unknown),
        )
        for name, inside in kept.items()
    ]


def evaluate_answers(predictions: Predictions, resamples: int = 1000) -> results.AnswerEvaluation:
    """Compute metrics of the answers, or of the most probable classes if the predictions have no answers.

    For an output trained on votes, the truth is the annotators' majority if any sample has one; samples without one are
    left out. Otherwise the truth is the label. Intervals are bootstrap intervals over samples or groups; those of
    recalls are Wilson's.
    """
    truth, kind = _truth(predictions)
    known = truth != ""
    truth, predictions, output = truth[known], predictions.subset(known), ""
    said, shown = np.array(predictions.classes)[predictions.predicted], predictions.confidence
    if predictions.answers is not None:
        output, said, shown = predictions.answers.output, predictions.answers.said, predictions.answers.confidence
    right = said == truth
    unsure = (said == UNSURE) & (predictions.answers is not None)  # a class can have this name
    hits = np.stack([right, ~(right | unsure), unsure])
    drawn = metrics.bootstrap_means(hits.T, resamples, predictions.groups).T
    shares = [metrics.share_interval(*each, predictions.groups) for each in zip(hits, drawn, strict=True)]
    classes = tuple(dict.fromkeys([*predictions.classes, *truth.tolist(), *said.tolist()]))
    number = {name: at for at, name in enumerate(classes)}
    labels, answers = (np.array([number[name] for name in each.tolist()]) for each in (truth, said))
    judged = replace(
        predictions,
        labels=labels,
        probabilities=np.eye(len(classes))[answers],
        classes=classes,
        votes=None,
        answers=None,
    )
    gaps = np.bincount(metrics.equal_width_bins(shown[~unsure]), weights=(right - shown)[~unsure])
    error = math.nan if unsure.all() else float(np.abs(gaps).sum() / (~unsure).sum())
    names, counts = np.unique(truth, return_counts=True)
    # Keep the order of the classes. Classes that only annotators could choose, such as contempt, come last.
    order = sorted(names.tolist(), key=lambda name: ([*predictions.classes, name].index(name), name))
    per_class = []
    for name in order:
        among = truth == name
        recall = proportion_among(right, among, predictions.groups)
        per_class.append(results.ClassAnswers(name, int(among.sum()), recall, float(unsure[among].mean())))
    return results.AnswerEvaluation(
        output=output,
        truth=kind,
        samples=len(truth),
        right=shares[0],
        wrong=shares[1],
        unsure=shares[2],
        balanced_accuracy=estimates(judged, ["balanced_accuracy"], resamples)["balanced_accuracy"],
        calibration_error=results.Estimate(error),
        largest_class=str(names[counts.argmax()]),
        largest_share=float(counts.max() / len(truth)),
        per_class=tuple(per_class),
    )


def _truth(predictions: Predictions) -> tuple[Texts, str]:
    """Return each sample's true class, str (N,), ``""`` if unknown, and ``"label"`` or ``"majority"``."""
    if predictions.votes is not None and predictions.answers is not None:
        found = metrics.majority(predictions.votes.counts, predictions.votes.classes)
        if (found >= 0).any():
            return np.where(found >= 0, np.array(predictions.votes.classes)[found], ""), "majority"
    return np.array(predictions.classes)[predictions.labels], "label"
