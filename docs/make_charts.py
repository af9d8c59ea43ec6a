"""Draw the charts of docs/results.md and docs/studies.md from kept results: ``make docs-charts``.

Each file ends with the digest of what it was drawn from; a test fails when that has changed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import kept
from kept import Model, Study
from make_tables import pairs, speed_points, timed

from mien.base.files import write_bytes
from mien.evaluation.calibration import Reliability
from mien.inference.find_model import SHIPPED, find_run
from mien.page.charts.curves import vote_reliability_chart
from mien.page.charts.error_analysis import robustness_curves_chart
from mien.page.charts.svg import COLOURS, Chart, legend_above, make_chart
from mien.runs.page import metric_name, spreads_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parent / "images"
STAMP = "<!-- made from "
WIDTH = 6.0
LEAST_SAMPLES = 10

SMALL = (
    *("votes", "cleaning", "imbalance", "augmentation", "width", "own-faces", "transfer"),
    *("study-a-small", "study-b-small", "architectures"),
)
"""The studies of docs/studies.md."""


def drawings(page: str) -> dict[str, tuple[list[Path], Callable[[], Chart]]]:
    """Each chart of a page by file name: the files that it is drawn from, and the function that draws it."""
    if page == "studies":
        return {f"small-{name}": _of_study(name, f"small-{name}", published=False) for name in SMALL}
    folders = [find_run(name).path for name in SHIPPED]
    metrics, robustness, history = (
        [folder / file for folder in folders] for file in ("metrics.json", "robustness.json", "history.csv")
    )
    timed_in = [kept.RESULTS / f"{name}.json" for name in ("study-a", "study-b")]
    return {
        "epochs": ([file for file in history if file.is_file()], lambda: epochs_chart(kept.models())),
        "copies": (metrics, lambda: copies_chart(list(pairs()))),
        "calibration": (metrics[:1], lambda: calibration_chart(kept.models()[0])),
        "corruptions": (robustness[:1], lambda: robustness_curves_chart(kept.models()[0].robustness)),
        "accuracy-speed": ([kept.SPEED, *metrics], lambda: speed_chart(list(speed_points()))),
        **{name: _of_study(name, name, published=True) for name in ("study-a", "study-b")},
        "training-time": (timed_in, lambda: training_chart(list(timed()))),
    }


def digest(files: list[Path]) -> str:
    """SHA-256 over the contents of a chart's inputs."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def stamp_of(image: Path) -> str:
    """The digest that a chart's file says it was drawn from."""
    text = image.read_text(encoding="utf-8")
    return text[text.index(STAMP) + len(STAMP) :].split(" ", 1)[0]


def main() -> None:
    """Write all charts."""
    for name, (files, draw) in (drawings("results") | drawings("studies")).items():
        write_bytes(IMAGES / f"{name}.svg", draw().svg_file() + f"{STAMP}{digest(files)} -->\n".encode())


def _of_study(name: str, chart: str, published: bool) -> tuple[list[Path], Callable[[], Chart]]:
    return [kept.RESULTS / f"{name}.json"], lambda: study_chart(kept.study(name), chart, published)


def study_chart(study: Study, chart: str, published: bool) -> Chart:
    """The first metric of a study's variants, every run as a ring, with or without the published values."""
    metric = study.metrics[0]
    found = {name: spread for name in study.variants if (spread := study.spread(name, metric))}
    return spreads_plot(
        chart,
        [f"{study.variants[name].get('short', name)} ({spread.runs})" for name, spread in found.items()],
        list(found.values()),
        [study.variants[name]["published"].get(metric) if published else None for name in found],
        f"{metric_name(metric)}, % (in brackets: seeds)",
        100,
        WIDTH,
    )


def speed_chart(points: Sequence[tuple[str, float, float]]) -> Chart:
    """Accuracy on FER2013's label against milliseconds a face: (name, ms, accuracy) of each model file."""

    def draw(axes: Axes) -> None:
        for name, milliseconds, accuracy in points:
            own = not name.startswith("fer")
            axes.plot(milliseconds, 100 * accuracy, "o" if own else "x", color=COLOURS[0 if own else 5], markersize=7)
            # Below where the next point would lie in the name.
            below = any(1 < ms / milliseconds < 2 and 0 <= share - accuracy < 0.01 for _, ms, share in points)
            place = (6, -11 if below else 5)
            axes.annotate(name, (milliseconds, 100 * accuracy), place, textcoords="offset points", fontsize=8)
        axes.set_xscale("log")
        ticks = (0.1, 0.2, 0.5, 1)
        axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
        axes.minorticks_off()
        axes.set_xlim(0.1, 3)
        axes.margins(y=0.2)
        axes.set_xlabel("milliseconds a face, one at a time, one thread (log scale)")
        axes.set_ylabel("accuracy, %")
        axes.grid()

    return make_chart("accuracy-speed", draw, height_inches=3.0, width_inches=WIDTH)


def copies_chart(rows: Sequence[tuple[Any, ...]]) -> Chart:
    """Accuracy of each output on all samples and on those without a copy in training, with intervals."""

    def draw(axes: Axes) -> None:
        for kind, offset, colour, marker in ((1, -0.12, COLOURS[0], "o"), (2, 0.12, COLOURS[5], "s")):
            at = np.arange(len(rows)) + offset
            values, low, high = (100 * np.array([row[kind][key] for row in rows]) for key in ("value", "low", "high"))
            name = "all samples" if kind == 1 else "without copies of training images"
            axes.errorbar(values, at, xerr=[values - low, high - values], fmt=marker, color=colour, label=name)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("accuracy, %, with 95% interval")
        axes.grid(axis="x")
        legend_above(axes, 2)

    return make_chart("copies", draw, height_inches=1.0 + 0.4 * len(rows), width_inches=WIDTH)


def reliability_of(content: dict[str, list[float | None]]) -> Reliability:
    """A reliability diagram out of a ``metrics.json``, without bins of fewer than LEAST_SAMPLES."""
    arrays = {key: np.array(values, dtype=np.float64) for key, values in content.items()}
    count = np.where(arrays["count"] < LEAST_SAMPLES, 0, arrays["count"]).astype(np.int64)
    return Reliability(**{**arrays, "count": count})  # type: ignore[arg-type]


def calibration_chart(model: Model) -> Chart:
    """Fraction of annotators who chose the predicted class against its probability."""
    return vote_reliability_chart(reliability_of(model.metrics["votes"]["distribution"]["reliability"]))


def training_chart(curves: Sequence[tuple[str, str, Sequence[float], Sequence[float]]]) -> Chart:
    """Best validation accuracy so far against seconds of training, one line a run."""

    def draw(axes: Axes) -> None:
        for index, (run, on, seconds, accuracies) in enumerate(curves):
            best = 100 * np.maximum.accumulate(accuracies)
            axes.plot(np.array(seconds) / 60, best, color=COLOURS[index], linewidth=1.4, label=f"{run}; {on}")
        axes.axhline(64.3, color=COLOURS[5], linewidth=0.8, linestyle=":")
        axes.annotate("64.3%, Study A's best", (0.12, 64.5), fontsize=8)
        axes.set_xscale("log")
        ticks = (0.1, 1, 10, 100)
        axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
        axes.set_ylim(20, 68)
        axes.set_xlabel("minutes of training (log scale)")
        axes.set_ylabel("best accuracy so far, %")
        axes.grid()
        legend_above(axes, 2)

    return make_chart("training-time", draw, height_inches=3.4, width_inches=WIDTH)


def epochs_chart(models: Sequence[Model]) -> Chart:
    """Validation accuracy after each epoch of the last stage of training of what ships."""
    columns = {"validation_majority_accuracy": "FER+ majority", "validation_accuracy": "FER2013's label"}

    def draw(axes: Axes) -> None:
        for index, model in enumerate(models):
            for (column, target), dashes in zip(columns.items(), ("-", "--"), strict=True):
                points = [(line["epoch"], 100 * line[column]) for line in model.history if column in line]
                if points:
                    colour, label = COLOURS[5 * index % len(COLOURS)], f"{model.name}: {target}"
                    axes.plot(*zip(*points, strict=True), dashes, marker="o", markersize=3, color=colour, label=label)
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        axes.set_xlabel("epoch of the last stage")
        axes.set_ylabel("accuracy, %")
        axes.margins(y=0.1)
        axes.grid(axis="y")
        legend_above(axes, 2)

    return make_chart("epochs", draw, height_inches=3.0, width_inches=WIDTH)


if __name__ == "__main__":
    main()
