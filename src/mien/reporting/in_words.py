"""The report's summary in five sentences, and advice on what to do next, from the measured metrics."""

from collections.abc import Iterator

from mien.base.errors import Notice
from mien.evaluation.error_analysis import check_answers, confused_pairs
from mien.page.blocks import Section, Text
from mien.page.wording import counted, decimal, percent
from mien.reporting.context import ReportContext

SURE_WITHIN = 0.03
"""A model is well calibrated if mean confidence and accuracy differ by at most this."""

WEAK_BELOW = 0.7
"""A class is weak if its recall is below this fraction of the best class's recall."""

FEW_SAMPLES = 500

MANY_LEAKED = 0.005
"""If fewer samples than this fraction are leaked, no advice is given."""


def summary_section(context: ReportContext) -> Section:
    """Build the summary: best and worst class, most frequent confusion, calibration, copies, collapse."""
    return Section("summary", "In short", tuple(Text(each) for each in _sentences(context)))


def next_section(context: ReportContext) -> Section:
    """Build the section that suggests next steps."""
    return Section("next", "What to do next", tuple(Text(each) for each in _advice(context)))


def _sentences(context: ReportContext) -> Iterator[str]:
    evaluation = context.evaluation
    present = [each for each in evaluation.per_class if each.support]
    by = "" if context.predictions.votes is None else " by label"
    # Without an output of its own, the answer is the most probable class.
    if evaluation.answer is not None and evaluation.answer.output:
        right = percent(evaluation.answer.right.value)
        yield f"The answer that users get is right for {right}. The sentences below are about the label's output."
    best, worst = (choose(present, key=lambda each: each.recall) for choose in (max, min))
    if len(present) == 1:
        yield f"All samples are of one class, {best.name}; {percent(best.recall)} are recognised."
    elif best.recall == worst.recall:
        yield f"{percent(best.recall)} of each class{by} are recognised."
    else:
        yield (
            f"Best class{by}: {best.name}, of which {percent(best.recall)} are recognised. Worst: {worst.name}, "
            f"{percent(worst.recall)} of {counted(worst.support, 'sample')}."
        )
    pairs = confused_pairs(context.predictions.labels, context.predicted)
    if pairs:
        true, said = (context.classes[at] for at in (pairs[0].first, pairs[0].second))
        yield (
            f"Most frequent mistake: {true} predicted as {said}, {pairs[0].count:,} of "
            f"{counted(pairs[0].support, 'sample')} ({percent(pairs[0].rate.value)})."
        )
    else:
        yield "There is no mistake."
    yield _sureness(context)
    leaked = _leaked(context)
    if leaked is None and context.faces is None:
        words = "Copies of training images were not looked for. To do so: mien report DIR --data DATA"
        yield Notice(words, code="copies-unknown")
    elif leaked is not None:
        rest = f"; without them accuracy is {percent(evaluation.subsets[1].accuracy.value)}" if leaked else ""
        how = "a copy is in an earlier split" + ", or the model was trained on it" * (evaluation.trained_on > 0)
        none = "No sample leaked: none has a copy in an earlier split."
        yield f"{counted(leaked, 'sample')} of {evaluation.samples:,} leaked: {how}{rest}." if leaked else none
    yield _collapse(context)


def _gap(context: ReportContext) -> float:
    """Return mean confidence minus accuracy."""
    return float(context.confidence.mean() - context.correct.mean())


def _sureness(context: ReportContext) -> str:
    gap = _gap(context)
    sure, correct = (percent(float(each.mean())) for each in (context.confidence, context.correct))
    error = decimal(context.evaluation.calibration_error.value)
    words = f"mean confidence is {sure}, accuracy {correct} (calibration error {error})."
    if gap > SURE_WITHIN:
        return Notice(f"It is overconfident: {words}", code="overconfident")
    if gap < -SURE_WITHIN:
        return Notice(f"It is underconfident: {words}", code="underconfident")
    return f"Its confidence is right on average: {words}"


def _leaked(context: ReportContext) -> int | None:
    """Return the number of samples that were trained on, themselves or as copies; None if unknown."""
    subsets = context.evaluation.subsets
    return subsets[0].count - subsets[1].count if len(subsets) > 1 else None


def _collapse(context: ReportContext) -> str:
    """Describe a collapse to one class, or else the accuracy of always answering the largest class."""
    for found in check_answers(context.evaluation):
        return Notice(found[0].upper() + found[1:], code=found.code)
    largest, share = context.evaluation.largest_class, context.evaluation.largest_share
    return f"Always answering {largest}, the largest class, would be right for {percent(share)}."


def _advice(context: ReportContext) -> Iterator[str]:
    evaluation = context.evaluation
    if isinstance(_collapse(context), Notice):
        yield "Train more steps, or with another learning rate (mien train RECIPE --find-lr). Check the class weights."
        yield "If the run was short, recompute the statistics of its batch norms: --set recalibrate_bn=true."
    leaked = (_leaked(context) or 0) - evaluation.trained_on
    if leaked > MANY_LEAKED * evaluation.samples:
        yield (
            f"Some samples of {evaluation.split} have copies in earlier splits. Train without those: "
            f"mien audit DATA --out audit, then mien train RECIPE --data DATA --clean audit/clean.toml."
        )
    present = [each for each in evaluation.per_class if each.support]
    best = max(each.recall for each in present)
    weak = [each.name for each in present if each.recall < WEAK_BELOW * best]
    if weak:
        yield (
            f"Weak: {', '.join(weak)}. Look at their worst mistakes first: labels may be wrong. Add images of them, or "
            f"weigh classes (--set class_weights=balanced)."
        )
    if _gap(context) > SURE_WITHIN and context.predictions.temperature in {None, 1.0}:
        yield "Do not trust its uncalibrated confidence: use the temperature of the model file, as mien predict does."
    if context.faces is None:
        yield "See the faces behind each mistake: mien report RUN --data DATA."
    elif isinstance(context.robustness, Notice) and not context.is_test:
        yield "Measure it on corrupted images: mien robustness MODEL --data DATA --out RUN."
    if evaluation.samples < FEW_SAMPLES:
        reach = 50 * (evaluation.accuracy.high - evaluation.accuracy.low)
        few = f"The accuracy on {counted(evaluation.samples, 'sample')} has an interval of ±{reach:.1f} points"
        yield f"{few}: use more before you compare models."
    yield "Another seed changes the accuracy by about a point on FER2013. Compare recipes over several: mien study."
