"""Attention maps: maps by several methods, checks of the methods, and averages over correct and wrong faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.errors import Notice
from mien.evaluation.error_analysis import Indices
from mien.explanation.class_maps import average_maps
from mien.explanation.faithfulness import Faithfulness, measure_faithfulness
from mien.explanation.overlay import colour, overlay
from mien.explanation.verdict import LARGEST_CORRELATION, LEAST_FACES, judge
from mien.page.blocks import Block, CaptionedChart, ChartRow, Column, FaceGrid, FaceRow, FaceTile, Section, Table, Text
from mien.page.images import data_address
from mien.page.wording import percent
from mien.progress import track
from mien.report.attention_charts import faithfulness_chart
from mien.report.context import ReportContext, Skipped
from mien.report.explainer import MapExplainer, Maps, build_explainer

JUDGED_FACES = 32
"""Enough for intervals, few enough that a report takes less than a minute."""

AVERAGED_FACES: dict[str, int] = {"gradcam": 1400, "gradient": 1400, "occlusion": 224}
"""Over all classes, correct and wrong: as many as take seconds by the method."""

BATCH = 64


def attention_section(context: ReportContext) -> Section | Skipped:
    """Build an explainer of the model and show its maps; needs the faces and a model."""
    if reason := context.no_new_predictions:
        return Skipped(reason)
    if not context.explain:
        return Skipped(Notice("Attention maps skipped, as requested.", code="attention-not-wanted"))
    assert context.model is not None
    assert context.faces is not None
    explainer, notice = build_explainer(context.model, context.run, np.asarray(context.faces.images))
    return show_attention(context, explainer, notice)


def show_attention(context: ReportContext, explainer: MapExplainer, notice: Notice | None = None) -> Section:
    """Which methods are faithful, faces with their maps, and mean maps of each class; needs the faces.

    Args:
        context: with the faces.
        explainer: of the model.
        notice: why methods are missing; None if none is.
    """
    assert context.faces is not None
    images = np.asarray(context.faces.images)
    verdicts, curves = _evidence(images, explainer)
    blocks: list[Block] = [
        Text(
            "The maps show which pixels support the predicted class. A map can mislead: the table shows which methods "
            "pass the checks on this model."
        ),
        *(() if notice is None else (Text(notice),)),
        verdicts,
        Text(
            f"Deletion: the most important pixels are blurred first. Insertion: they are restored first. The gain is "
            f"measured against the same maps at a random position. Rank correlation: with maps of the network after "
            f"its weights are shuffled; a method whose maps do not change shows edges, not what the network learned. "
            f"A method passes if the interval of its deletion gain is above 0, the interval of its insertion gain is "
            f"not below 0, and the interval of its rank correlation is below {LARGEST_CORRELATION:g}. With fewer than "
            f"{LEAST_FACES} faces it is undecided. Checked on {min(JUDGED_FACES, len(images))} faces.",
            soft=True,
        ),
        *curves,
        _gallery(context, images, explainer),
    ]
    blocks += _averages(context, images, explainer)
    return Section("attention", "Attention maps", tuple(blocks))


def _evidence(images: npt.NDArray[np.uint8], explainer: MapExplainer) -> tuple[Table, list[Block]]:
    judged = images[_spread(len(images), JUDGED_FACES)]

    def measure(maps: Maps) -> Faithfulness:
        return measure_faithfulness(explainer.predict, judged, maps, crop_px=explainer.crop_px)

    rows, drawn = [], []
    methods = explainer.methods
    for name in track(methods, total=len(methods), what="checking maps", unit="methods"):
        maps = explainer.maps(name, judged)
        faithful = measure(maps)
        randomized = None if explainer.randomize is None else explainer.randomize(name, judged, maps)
        rows.append(
            (
                name,
                judge(faithful, randomized).word,
                faithful.deletion_gain,
                faithful.insertion_gain,
                None if randomized is None else randomized.final_spearman,
            )
        )
        drawn.append((name, faithful))
    random = measure(np.random.default_rng(0).random(judged.shape, dtype=np.float32))
    columns = (
        Column("method", "text"),
        Column("verdict", "text"),
        Column("deletion gain", "signed"),
        Column("insertion gain", "signed"),
        Column("rank correlation", "signed"),
    )
    plots = (
        CaptionedChart(
            faithfulness_chart(drawn, random, "deletion"),
            "Deletion: mean probability of the class while pixels are blurred in the order of the map. Lower is "
            "better. Dotted: the same maps at a random position, the baseline of the gain. Dashed: random maps.",
        ),
        CaptionedChart(
            faithfulness_chart(drawn, random, "insertion"),
            "Insertion: the same while pixels are restored in the blurred face. Higher is better.",
        ),
    )
    return Table("explanation-checks", columns, rows), [ChartRow(plots)]


def _gallery(context: ReportContext, images: npt.NDArray[np.uint8], explainer: MapExplainer) -> FaceGrid:
    """The most confident correct and wrong face of each class, by every method."""
    chosen = []
    for index in range(len(context.classes)):
        for is_correct in (True, False):
            mine = np.flatnonzero((context.predictions.labels == index) & (context.correct == is_correct))
            if len(mine):
                chosen.append(int(mine[np.argmax(context.confidence[mine])]))
    faces = images[chosen]
    methods = track(explainer.methods, total=len(explainer.methods), what="mapping faces", unit="methods")
    maps = {name: explainer.maps(name, faces) for name in methods}
    parts = []
    for index, at in enumerate(chosen):
        true, predicted = context.classes[context.predictions.labels[at]], context.classes[context.predicted[at]]
        sure = percent(float(context.confidence[at]), 0)
        title = f"{true}, correct, {sure}" if true == predicted else f"{true}, predicted {predicted}, {sure}"
        cards = [FaceTile(data_address(faces[index]), "the face")]
        cards += [FaceTile(data_address(overlay(faces[index], each[index], 2)), name) for name, each in maps.items()]
        parts.append(FaceRow(title, tuple(cards)))
    return FaceGrid("The most confident correct and wrong prediction of each class", tuple(parts), stacked=True)


def _averages(context: ReportContext, images: npt.NDArray[np.uint8], explainer: MapExplainer) -> list[Block]:
    method = next(name for name in AVERAGED_FACES if name in explainer.methods)
    most = max(AVERAGED_FACES[method] // (2 * len(context.classes)), 1)
    chosen: list[int] = []
    for index in range(len(context.classes)):
        for is_correct in (True, False):
            mine = np.flatnonzero((context.predictions.labels == index) & (context.correct == is_correct))
            chosen += [int(mine[each]) for each in _spread(len(mine), most)]
    at = np.array(sorted(chosen), dtype=np.int64)
    starts = range(0, len(at), BATCH)
    batches = track(starts, total=len(starts), what="averaging maps", unit="batches")
    maps = np.concatenate([explainer.maps(method, images[at[first : first + BATCH]]) for first in batches])
    averages = average_maps(maps, context.predictions.labels[at], context.predicted[at], context.classes)
    cards: dict[str, list[FaceTile]] = {"correct": [], "wrong": []}
    for each in averages:
        means = {"correct": (each.right, each.right_count), "wrong": (each.wrong, each.wrong_count)}
        # One scale for both of a class, so that they compare by eye.
        largest = max((float(mean.max()) for mean, _ in means.values() if mean is not None), default=0.0)
        for kind, (mean, count) in means.items():
            if mean is not None:
                cards[kind].append(FaceTile(data_address(_coloured(mean, largest)), f"{each.name} ({count})"))
    parts = tuple(FaceRow(kind, tuple(made)) for kind, made in cards.items() if made)
    return [
        FaceGrid(
            f"Mean map ({method}) of each true class, with the number of faces. At most {most:,} correct and "
            f"{most:,} wrong faces of a class are drawn at random; both share one scale.",
            parts,
            stacked=True,
        )
    ]


def _coloured(mean: Maps, largest: float) -> npt.NDArray[np.uint8]:
    positive = np.maximum(mean, 0)
    scaled = positive / largest if largest > 0 else positive
    return np.rint(colour(scaled)).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)


def _spread(count: int, most: int) -> Indices:
    """At most ``most`` of ``count`` indices, drawn at random, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)
