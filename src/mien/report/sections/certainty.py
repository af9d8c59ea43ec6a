"""How sure: calibration before and after a temperature, accuracy against coverage, prediction sets."""

from __future__ import annotations

import numpy as np

from mien.evaluation.calibration import Calibration, CoverageCurve, accuracy_against_coverage, calibrate
from mien.evaluation.conformal import ConformalSets, conformal_sets
from mien.report.blocks import Block, Column, Pair, Plot, Section, Table, Text
from mien.report.material import Material
from mien.report.plots import coverage_plot, reliability_plot, set_size_plot
from mien.report.wording import decimal, percent

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def certainty_section(material: Material) -> Section:
    """Whether the probabilities can be believed. All that is fitted is fitted on other folds than it is measured on."""
    scores = material.scores
    calibration = calibrate(scores.labels, scores.probabilities, material.groups, resamples=material.resamples)
    # A single row, or identical ones, have no other fold to fit on.
    fitted = not np.isnan(calibration.calibrated).any()
    curve = accuracy_against_coverage(material.confidence, material.correct)
    sets = prediction_sets(material)
    reliability = reliability_plot(calibration.before.reliability, calibration.after.reliability if fitted else None)
    blocks: list[Block] = [
        _calibration_table(calibration),
        _temperature_words(material, calibration, fitted),
        Pair(
            (
                Plot(
                    reliability,
                    "Of the answers given with some confidence, the share that is right, with 95 % intervals; on the "
                    "dotted line both agree, below it the model is too sure.",
                ),
                Plot(coverage_plot(curve), "Accuracy where the model may abstain on the faces it is least sure of."),
            )
        ),
        _coverage_table(curve),
        *_sets_blocks(material, sets),
    ]
    return Section("certainty", "How sure is it?", tuple(blocks))


def prediction_sets(material: Material) -> ConformalSets:
    """The sets of the rows, of the probabilities as they are.

    Not of cross-fitted ones: the temperatures behind the other folds' thresholds were fitted on a row's own label too,
    which would so move its own threshold.
    """
    scores = material.scores
    return conformal_sets(scores.labels, scores.probabilities, material.groups, level=material.level)


def _calibration_table(calibration: Calibration) -> Table:
    names = {
        "calibration_error": "calibration error (15 equal widths)",
        "adaptive_calibration_error": "adaptive calibration error (15 equal masses)",
        "brier": "Brier score",
        "log_loss": "log loss",
    }
    rows = [(name, getattr(calibration.before, key), getattr(calibration.after, key)) for key, name in names.items()]
    return Table(
        "calibration", (Column("figure; 0 is best", "text"), Column("as it is"), Column("after temperature")), rows
    )


def _temperature_words(material: Material, calibration: Calibration, fitted: bool) -> Text:
    if not fitted:
        return Text("There are too few different faces to fit a temperature on some and measure it on others.")
    of_folds = ", ".join(decimal(float(each)) for each in np.unique(calibration.fold_temperatures.round(3)))
    together = (
        "identical images in the same fold" if material.groups is not None else
        "but without the data, identical images may be in different folds"
    )  # fmt: skip
    sense = "too sure" if calibration.temperature > 1 else "not sure enough"
    return Text(
        f"Temperature on all rows: {decimal(calibration.temperature)} (above 1: the answers were too sure; here "
        f"{sense}). The figures after it are cross-fitted: each fifth of the rows was rescaled by the temperature of "
        f"the other four ({of_folds}), {together}.",
        soft=True,
    )


def _coverage_table(curve: CoverageCurve) -> Table:
    rows = []
    for wanted in COVERAGES:
        index = int(np.abs(curve.coverage - wanted).argmin())
        rows.append((float(curve.coverage[index]), float(curve.accuracy[index]), float(curve.thresholds[index])))
    columns = (Column("share answered", "percent"), Column("accuracy on them", "percent"), Column("least confidence"))
    caption = (
        f"Area under risk and coverage {decimal(curve.risk_area)}; with the same errors ranked last it would be "
        f"{decimal(curve.best_risk_area)}."
    )
    return Table("coverage", columns, list(dict.fromkeys(rows)), caption)


def _sets_blocks(material: Material, sets: ConformalSets) -> list[Block]:
    rows = [
        ("all", sets.coverage, len(material.scores), float(sets.members.sum(axis=1).mean())),
        *(
            (name, each, int((material.scores.labels == index).sum()), _mean_size(material, sets, index))
            for index, (name, each) in enumerate(zip(material.classes, sets.coverage_per_class, strict=True))
        ),
    ]
    columns = (
        Column("true class", "text"), Column("sets that hold it", "percent"), Column("rows", "count"),
        Column("mean size", "decimal"),
    )  # fmt: skip
    alone = sets.singleton_accuracy
    words = (
        f"Instead of one answer, a set of classes that holds the true one for {100 * sets.level:g} % of all faces: "
        f"measured {percent(sets.coverage.value)}, with {sets.mean_size:.2f} classes on average; "
        f"{percent(sets.singleton)} of the sets hold one class ({percent(alone.value)} of these rightly), "
        f"{percent(sets.empty)} none. The promise is over all faces, not for each class. Thresholds are of other folds "
        f"than the faces, and of the probabilities as they are."
    )
    return [
        Text(words),
        Plot(set_size_plot(sets.size_counts), "Number of classes in a prediction set; the number of faces above."),
        Table("prediction-sets", columns, rows),
    ]


def _mean_size(material: Material, sets: ConformalSets, index: int) -> float:
    mine = material.scores.labels == index
    return float(sets.members[mine].sum(axis=1).mean()) if mine.any() else float("nan")
