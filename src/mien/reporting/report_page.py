"""The report of a model's predictions as a page, with all possible sections or only the summary."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from mien.base.arrays import Array
from mien.base.errors import Notice
from mien.data.splits import near_copy_groups
from mien.evaluation.calibration import Calibration, calibrate
from mien.evaluation.curves import coverage_curve, precision_recall_curves, roc_curves
from mien.evaluation.error_analysis import check_answers, confused_pairs
from mien.evaluation.metrics import divide
from mien.page import plots
from mien.page import terminal as shared
from mien.page.page import Block, CaptionedChart, CellFaces, Column, MetricCards, Page, Row, Section, Table, Text
from mien.page.wording import Format, counted, percent, shown, slug
from mien.reporting import sections
from mien.reporting.paper import paper_files
from mien.reporting.sections import ReportContext

SectionOf: TypeAlias = Callable[[ReportContext], Section | Notice | None]


_TRAINED_WORDS = " Samples that the model was trained on also count as leaked, if its run folder lists them."

_INTERVAL_WORDS = (
    "The 95% intervals show how much a metric varies with the choice of {units} ({resamples:,} bootstrap resamples). "
    "They do not include the variation between training runs. A dash: there is no value, or no interval."
)

_METRIC_WORDS = (
    "Precision: TP / (TP + FP). Recall: TP / (TP + FN). F1: their harmonic mean. AUC: probability that a sample of "
    "the class ranks above a sample of another class."
)

_PROTOCOL_WORDS = (
    "FER+'s protocol: a class that only one of several people chose loses this vote. The majority is the class with "
    "more than half of the remaining votes. Samples without a majority, or whose majority is unknown or not a face, "
    "are left out. The prediction is the most probable expression."
)


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
    pairs = confused_pairs(context.predictions.labels, context.predictions.predicted)
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


def _sureness(context: ReportContext) -> str:
    """Compare mean confidence and accuracy; a notice has a code."""
    sure, correct = float(context.predictions.confidence.mean()), float(context.predictions.right.mean())
    error = shown(context.evaluation.calibration_error)
    words = f"mean confidence is {percent(sure)}, accuracy {percent(correct)} (calibration error {error})."
    if abs(sure - correct) <= SURE_WITHIN:
        return f"Its confidence is right on average: {words}"
    code = "overconfident" if sure > correct else "underconfident"
    return Notice(f"It is {code}: {words}", code=code)


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
    if (_leaked(context) or 0) - evaluation.trained_on > MANY_LEAKED * evaluation.samples:
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
    gap = context.predictions.confidence.mean() - context.predictions.right.mean()
    if gap > SURE_WITHIN and context.predictions.temperature in {None, 1.0}:
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


def answers_section(context: ReportContext) -> Section | None:
    """Build the section about the answers that users get: right, wrong and unsure, and recall per class."""
    answer = context.evaluation.answer
    # If the answer is the most probable class, the next section shows the same metrics.
    if answer is None or not answer.output:
        return None
    blocks = (
        Text(shared.answer_words(answer), soft=True),
        MetricCards(shared.answer_cells(answer)),
        shared.answer_table(answer),
    )
    return Section("answers", "What users get", blocks)


def metrics_section(context: ReportContext) -> Section:
    """Build the section of headline metrics with explanations, and metrics without copies, if known."""
    evaluation = context.evaluation
    notice = evaluation.trained_on_notice
    units = "samples" if evaluation.groups is None else f"the {evaluation.groups:,} groups"
    meanings = [metric.meaning for metric in evaluation.metrics]
    meanings.insert(2, "accuracy of always answering the largest class")
    table = replace(shared.metrics_table(evaluation), shown=0)
    blocks: list[Block] = [
        MetricCards([(*row, meaning) for row, meaning in zip(table.rows, meanings, strict=True)]),
        table,
        *(() if notice is None else (Text(notice),)),
        Text(_INTERVAL_WORDS.format(resamples=evaluation.resamples, units=units), soft=True),
    ]
    if evaluation.subsets:
        caption = "Accuracy and macro-F1 without leaked samples and without conflicting copies."
        words = Text(shared.COPIES_WORDS + _TRAINED_WORDS, soft=True)
        blocks += [shared.subsets_table(evaluation.subsets, caption=caption), words]
    return Section("metrics", "Metrics", tuple(blocks))


def confusion_section(context: ReportContext) -> Section:
    """Build the section of the confusion matrix and metrics per class; a click on a cell shows some of its faces."""
    evaluation, faces = context.evaluation, sections.cell_faces(context)
    keys = {cell: f"cell-{cell[0]}-{cell[1]}" for cell in faces}
    classes = evaluation.classes
    # If a class has no samples, it has no percentages.
    percentages = divide(evaluation.confusion, evaluation.confusion.sum(axis=1, keepdims=True))
    header = "true class" if "true class" not in classes else "true class of the sample"

    def table(name: str, form: Format, values: Array, words: str) -> Table:
        columns = (Column(header, "text"), *(Column(each, form) for each in classes))
        rows = [(each, *line) for each, line in zip(classes, values.tolist(), strict=True)]
        return Table(name, columns, rows, f"Confusion matrix in {words}.", 0)

    chart = CaptionedChart(
        plots.confusion_chart(evaluation.confusion, classes, keys),
        "Confusion matrix: each row is a true class, each column a predicted class. A cell shows the percentage of the "
        "row and the count. The diagonal is correct.",
        scrolls=len(classes) > shared.MAX_UNSCROLLED_CLASSES,
    )
    of_classes = (chart, shared.classification_report(evaluation))
    blocks = (
        *(of_classes if chart.scrolls else (Row(of_classes),)),
        *([CellFaces({keys[cell]: row for cell, row in faces.items()})] if faces else []),
        Text(_METRIC_WORDS, soft=True),
        table("confusion-counts", "count", evaluation.confusion, "samples"),
        table("confusion-percent", "percent", percentages, "percent of each true class"),
    )
    return Section("confusion", "Confusion matrix", blocks)


def curves_section(context: ReportContext) -> Section:
    """Build the section of one-vs-rest ROC and precision-recall curves."""
    labels, probabilities = context.predictions.labels, context.predictions.probabilities
    roc = roc_curves(labels, probabilities, groups=context.predictions.groups)
    recall = precision_recall_curves(labels, probabilities)
    support = context.evaluation.confusion.sum(axis=1) / context.evaluation.samples
    areas = ([curve.area for curve in roc.per_class], [curve.area.value for curve in recall], support.tolist())
    rows: list[tuple[Any, ...]] = list(zip(context.classes, *areas, strict=True))
    rows += [("macro average", roc.macro.area, None, None), ("micro average", roc.micro.area, None, None)]
    numbers = (Column("AUC", "decimal"), Column("average precision", "decimal"))
    columns = (Column("class", "text"), *numbers, Column("prevalence", "percent"))
    of_recall = CaptionedChart(
        plots.precision_recall_chart(recall, context.classes),
        "Precision-recall curve of each class, with its average precision. Grey: other classes. Chance: prevalence.",
    )
    if any(len(curve.across) for curve in roc.per_class):
        caption = (
            "ROC curve of each class against the rest, with its AUC. Macro: mean over classes. Micro: all decisions "
            "pooled. Dotted: chance."
        )
        first: Block = Row((CaptionedChart(plots.roc_chart(roc, context.classes), caption), of_recall))
    else:
        first = Row((Text("All samples are of one class, so there are no ROC curves."), of_recall))
    table = Table("areas", columns, rows, "AUC and average precision of each class.")
    return Section("curves", "ROC and precision-recall curves", (first, table))


def calibration_section(context: ReportContext) -> Section:
    """Build the section about calibration. No sample is scaled by a temperature fitted on it."""
    predictions = context.predictions
    copies = None if context.faces is None else near_copy_groups(np.asarray(context.faces.images))
    calibration = calibrate(predictions.labels, predictions.probabilities, predictions.groups, copies=copies)
    # With one sample, or only copies, there is no other fold for the fit.
    fitted = not np.isnan(calibration.after.calibration_error)
    after = {"after temperature scaling": calibration.after.reliability} if fitted else {}
    reliability = plots.reliability_chart(
        {"as given" if fitted else "predictions": calibration.before.reliability, **after}
    )
    charts = (
        CaptionedChart(
            reliability,
            "Reliability diagram: accuracy of the predictions by confidence, with 95% intervals. Below the dotted line "
            "the model is overconfident.",
        ),
        CaptionedChart(
            plots.coverage_chart(*coverage_curve(predictions.confidence, predictions.right)),
            "Accuracy if the model abstains on the faces with the lowest confidence.",
        ),
    )
    words = _temperature_words(context, calibration, fitted)
    names = {"calibration_error": "calibration error (15 bins)", "brier": "Brier score", "log_loss": "log loss"}
    rows = [(name, getattr(calibration.before, key), getattr(calibration.after, key)) for key, name in names.items()]
    columns = (Column("metric, 0 is best", "text"), Column("as given"), Column("after temperature scaling"))
    table = Table("calibration", columns, rows, "Calibration before and after temperature scaling.")
    return Section("calibration", "Calibration", (table, words, Row(charts)))


def _temperature_words(context: ReportContext, calibration: Calibration, fitted: bool) -> Text:
    if not fitted:
        return Text("There are too few different faces to fit a temperature on some and measure it on others.")
    of_folds = ", ".join(map(shown, np.unique(calibration.fold_temperatures.round(3)).tolist()))
    unknown = "Without the data, copies may be in different folds."
    together = unknown if context.faces is None else "Near-copies are in the same fold."
    together += " Samples of a group are in the same fold." if context.predictions.groups is not None else ""
    return Text(
        f"Temperature fitted on all samples: {shown(calibration.temperature)}. The metrics after temperature scaling "
        f"are cross-fitted: each fifth of the samples is scaled by the temperature of the other four ({of_folds}). "
        f"{together}",
        soft=True,
    )


def training_section(context: ReportContext) -> Section:
    """Build the section of loss and accuracy by epoch, and the class balance of each split; both may be empty."""
    history, best_epoch, class_counts = context.history, context.best_epoch, context.class_counts
    blocks: list[Block] = []
    if history:
        words = {"learning_rate": "Learning rate at the end of each epoch.", "macro_f1": "Macro-F1 after each epoch."}
        metrics = ("accuracy", "loss", "macro_f1", "learning_rate") if len(history) > 1 else ()
        drawn = [metric for metric in metrics if {metric, f"validation_{metric}"} & history[0].keys()]
        captions = [words.get(metric, f"{metric.capitalize()} after each epoch.") for metric in drawn]
        charts = (plots.training_chart(history, metric, best_epoch) for metric in drawn)
        blocks += [Row(tuple(map(CaptionedChart, charts, captions)))] if drawn else []
        if best_epoch is not None and drawn:
            kept = f"The dotted line marks the epoch whose weights were kept: {best_epoch} of {len(history)}."
            blocks.append(Text(kept, soft=True))
        columns = tuple(Column(name, "number") for name in history[0])
        rows = [tuple(line.get(name) for name in history[0]) for line in history]
        blocks.append(Table("history", columns, rows, "Training history, one row per epoch.", 0))
    else:
        unknown = "The training history is unknown: only the predictions were given."
        blocks.append(Text(Notice(unknown, code="history-unknown")))
    if class_counts:
        balance = "Class balance of each split of the measured data."
        chart = CaptionedChart(plots.class_chart(class_counts, context.classes), balance)
        rows = list(zip(context.classes, *([int(each) for each in of] for of in class_counts.values()), strict=True))
        columns = (Column("class", "text"), *(Column(split, "count") for split in class_counts))
        blocks.append(Row((chart, Table("class-counts", columns, rows, "Samples of each class in each split."))))
    else:
        blocks.append(Text(Notice("The class balance of the data is unknown.", code="class-balance-unknown")))
    return Section("training", "Training", tuple(blocks))


def votes_section(context: ReportContext) -> Section | None:
    """Build the section about accuracy on the annotators' majority, and about the distribution of votes."""
    votes = context.evaluation.votes
    if votes is None:
        return None
    blocks: list[Block] = [Text(shared.majority_words(votes))]
    if votes.majority:
        blocks += [shared.majority_table(votes), Text(_PROTOCOL_WORDS, soft=True)]
    if votes.distribution is not None:
        curves = {"predicted class": votes.distribution.reliability}
        chart = CaptionedChart(
            plots.reliability_chart(curves, name="vote-reliability", of="fraction of annotators"),
            "Fraction of annotators who chose the predicted class, by its probability, with 95% intervals. Below the "
            "dotted line the model is overconfident.",
        )
        blocks.append(Row((chart, shared.distribution_table(votes.distribution))))
    return Section("votes", "Votes of annotators", tuple(blocks))


SUMMARY: tuple[SectionOf, ...] = (
    *(summary_section, answers_section, metrics_section, confusion_section),
    *(votes_section, training_section, next_section),
)
"""Sections of the page that training and evaluation write; they are computed quickly."""

SECTIONS: tuple[SectionOf, ...] = (
    *(summary_section, answers_section, metrics_section, confusion_section),
    *(curves_section, training_section, calibration_section, votes_section),
    *(sections.pairs_section, sections.worst_section, sections.robustness_section, sections.attention_section),
    next_section,
)
"""Sections of the report in order. A section that does not apply is None; without its input, it is a notice."""


def report_page(
    context: ReportContext,
    title: str,
    metadata: Mapping[str, str],
    sections: Sequence[SectionOf] = SECTIONS,
    label: str = "",
) -> Page:
    """Build the page of a report. No file is written. Raises MissingExtraError without matplotlib.

    Sections that need further inputs are listed as skipped at the end. ``metadata`` says how the page was made.
    ``label`` begins the labels of LaTeX, by default the title. With the run of a model, texts for a paper are beside
    the page.
    """
    built = [section(context) for section in sections]
    evaluation = context.evaluation
    counts = f"{counted(evaluation.samples, 'sample')}, {len(evaluation.classes)} classes"
    lead = f"Metrics on {'all splits' if evaluation.split == 'all' else f'the {evaluation.split} split'}: {counts}."
    if absent := [metrics.name for metrics in evaluation.per_class if not metrics.support]:
        lead += f" Without samples, and excluded from averages: {', '.join(absent)}."
    kept = [each for each in built if isinstance(each, Section)]
    reasons = dict.fromkeys(each for each in built if isinstance(each, Notice))
    if reasons:
        kept.append(Section("skipped", "Not in this report", tuple(Text(each, soft=True) for each in reasons)))
    counts_of_run = context.class_counts if context.is_training_data else {}
    documents = paper_files(context.run, counts_of_run, context.parameters, slug(label or title))
    return Page(title, lead, kept, metadata, classes=context.classes, label=label, documents=documents)
