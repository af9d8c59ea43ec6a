"""What it looks at: maps of several methods, their evidence, and averages over right and wrong faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.evaluation.failures import Indices
from mien.explain.averages import average_maps
from mien.explain.faithfulness import Faithfulness, measure_faithfulness
from mien.explain.methods import METHODS, explain
from mien.explain.overlay import colour, overlay
from mien.explain.verdict import LARGEST_CORRELATION, LEAST_FACES, Randomisation, judge
from mien.progress import track
from mien.report.blocks import Block, Column, Columns, Face, Faces, Pair, Plot, Section, Table, Text
from mien.report.material import Material
from mien.report.pictures import data_address
from mien.report.plots_attention import faithfulness_plot
from mien.report.wording import percent

JUDGED_FACES = 32
"""In both checks: enough for intervals, few enough that a report takes less than a minute."""

AVERAGED_FACES = {"gradcam": 1400, "gradient": 1400, "occlusion": 224}
"""In all, shared out among classes and among right and wrong: as many as take seconds by the method."""

AT_ONCE = 64

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Explainer:
    """What is needed to explain a model.

    Attributes:
        predict: faces uint8 (n, S, S) -> probabilities (n, C).
        crop_px: side of the central square that the model sees.
        network: a :class:`mien.explain.torch_model.TorchModel`; None leaves occlusion alone.
        randomise: method, faces and its maps of them -> the check against a randomised network; None where there is no
            network.
        unfit: methods that this network does not allow, such as Grad-CAM where it has no maps.
    """

    predict: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
    crop_px: int
    network: Any = None
    randomise: Callable[[str, npt.NDArray[np.uint8], Maps], Randomisation] | None = None
    unfit: tuple[str, ...] = ()

    @property
    def methods(self) -> list[str]:
        """Names of the methods that can be used."""
        usable = [name for name, method in METHODS.items() if self.network is not None or not method.needs_torch]
        return [name for name in usable if name not in self.unfit]

    def maps(self, name: str, images: npt.NDArray[np.uint8]) -> Maps:
        """Maps of the predicted classes, float32 (N, S, S)."""
        return explain(name, images, predict=self.predict, model=self.network, crop_px=self.crop_px)


def attention_section(material: Material, explainer: Explainer) -> Section:
    """A gallery by method, which methods to believe, and where the model looks on average; needs the faces."""
    assert material.faces is not None
    images = np.asarray(material.faces.images)
    verdicts, curves = _evidence(images, explainer)
    blocks: list[Block] = [
        Text(
            "Which pixels spoke for the class that was read. A map is a claim: the table says which methods hold here."
        ),
        verdicts,
        Text(
            f"Deletion: blur the pixels away, the most important first; insertion: bring them back into the blurred "
            f"face. The gain is over the same maps moved to a random place. Rank correlation: with the maps of the "
            f"network after its weights were shuffled; a method whose maps stay shows edges, not learning. A method "
            f"passes when the interval of its deletion gain is above 0, that of its insertion gain is not below 0, "
            f"and that of its rank correlation is below {LARGEST_CORRELATION:g}; on fewer than {LEAST_FACES} faces "
            f"it is undecided. {min(JUDGED_FACES, len(images))} faces were judged.",
            soft=True,
        ),
        *curves,
        _gallery(material, images, explainer),
    ]
    blocks += _averages(material, images, explainer)
    return Section("attention", "What does it look at?", tuple(blocks))


def _evidence(images: npt.NDArray[np.uint8], explainer: Explainer) -> tuple[Table, list[Block]]:
    judged = images[_spread(len(images), JUDGED_FACES)]

    def measure(maps: Maps) -> Faithfulness:
        return measure_faithfulness(explainer.predict, judged, maps, crop_px=explainer.crop_px)

    rows, drawn = [], []
    methods = explainer.methods
    for name in track(methods, total=len(methods), what="checking maps", unit="methods"):
        maps = explainer.maps(name, judged)
        faithful = measure(maps)
        learnt = None if explainer.randomise is None else explainer.randomise(name, judged, maps)
        rows.append(
            (
                name,
                judge(faithful, learnt).word,
                faithful.deletion_gain,
                faithful.insertion_gain,
                None if learnt is None else learnt.final_spearman,
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
        Plot(
            faithfulness_plot(drawn, random, "deletion"),
            "Mean probability of the class while pixels are blurred away in the map's order; the lower the better. "
            "Dotted: the same maps moved to a random place, the baseline of the gain. Dashed: maps of random numbers, "
            "which scatter what they remove and are easier to beat.",
        ),
        Plot(
            faithfulness_plot(drawn, random, "insertion"),
            "The same while pixels are brought back into the blurred face; the higher the better.",
        ),
    )
    return Table("explanation-checks", columns, rows), [Pair(plots)]


def _gallery(material: Material, images: npt.NDArray[np.uint8], explainer: Explainer) -> Columns:
    """Of each class the surest right and the surest wrong face, by every method."""
    chosen = []
    for index in range(len(material.classes)):
        for right in (True, False):
            mine = np.flatnonzero((material.scores.labels == index) & (material.correct == right))
            if len(mine):
                chosen.append(int(mine[np.argmax(material.confidence[mine])]))
    faces = images[chosen]
    methods = track(explainer.methods, total=len(explainer.methods), what="mapping faces", unit="methods")
    maps = {name: explainer.maps(name, faces) for name in methods}
    parts = []
    for place, at in enumerate(chosen):
        true, read = material.classes[material.scores.labels[at]], material.classes[material.predictions[at]]
        sure = percent(float(material.confidence[at]), 0)
        title = f"{true}, rightly read, {sure}" if true == read else f"{true}, read as {read}, {sure}"
        cards = [Face(data_address(faces[place]), "the face")]
        cards += [Face(data_address(overlay(faces[place], each[place], 2)), name) for name, each in maps.items()]
        parts.append(Faces(title, tuple(cards)))
    return Columns("The surest right and the surest wrong face of each class", tuple(parts), stacked=True)


def _averages(material: Material, images: npt.NDArray[np.uint8], explainer: Explainer) -> list[Block]:
    method = next(name for name in AVERAGED_FACES if name in explainer.methods)
    most = max(AVERAGED_FACES[method] // (2 * len(material.classes)), 1)
    chosen: list[int] = []
    for index in range(len(material.classes)):
        for right in (True, False):
            mine = np.flatnonzero((material.scores.labels == index) & (material.correct == right))
            chosen += [int(mine[each]) for each in _spread(len(mine), most)]
    at = np.array(sorted(chosen), dtype=np.int64)
    starts = range(0, len(at), AT_ONCE)
    batches = track(starts, total=len(starts), what="averaging maps", unit="batches")
    maps = np.concatenate([explainer.maps(method, images[at[first : first + AT_ONCE]]) for first in batches])
    averages = average_maps(maps, material.scores.labels[at], material.predictions[at], material.classes)
    cards: dict[str, list[Face]] = {"right": [], "wrong": []}
    for each in averages:
        means = {"right": (each.right, each.right_count), "wrong": (each.wrong, each.wrong_count)}
        # One scale for both of a class, so that they compare by eye.
        largest = max((float(mean.max()) for mean, _ in means.values() if mean is not None), default=0.0)
        for kind, (mean, count) in means.items():
            if mean is not None:
                cards[kind].append(Face(data_address(_coloured(mean, largest)), f"{each.name} ({count})"))
    parts = tuple(Faces(kind, tuple(made)) for kind, made in cards.items() if made)
    return [
        Columns(
            f"Mean map ({method}) of each true class, and of how many faces: at most {most:,} right "
            f"and as many wrong ones, drawn at random; right and wrong of a class on one scale",
            parts,
            stacked=True,
        )
    ]


def _coloured(mean: Maps, largest: float) -> npt.NDArray[np.uint8]:
    positive = np.maximum(mean, 0)
    share = positive / largest if largest > 0 else positive
    return np.rint(colour(share)).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)


def _spread(count: int, most: int) -> Indices:
    """At most ``most`` of ``count`` places, drawn evenly at random, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)
