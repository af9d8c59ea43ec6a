"""Write docs/results.md and its charts, and docs/studies.md, from kept result files: ``make docs-charts``.

A test fails when they are stale. The words are in docs/results.in; ``{{name}}`` is replaced by what a function here
computes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent))

import make_studies
import results_charts as charts
import results_data as data
from results_data import ROOT, Model
from results_names import STUDY_NAMES
from results_text import duration, estimate, interval, markdown_table, percent, points

from mien.evaluation.seed_variance import RepeatedDifference, Spread
from mien.files import write_bytes, write_text
from mien.inference.find_model import SHIPPED, find_run
from mien.page.charts.svg import Chart
from mien.run_folder import RunFolder

PAGE = ROOT / "docs" / "results.md"
WORDS = ROOT / "docs" / "results.in"
IMAGES = ROOT / "docs" / "images"
STAMP = "<!-- made from "


def page() -> str:
    """The whole page as Markdown."""
    text = WORDS.read_text(encoding="utf-8")
    for name, value in values().items():
        if f"{{{{{name}}}}}" not in text:
            raise ValueError(f"docs/results.in does not use {name}")
        text = text.replace(f"{{{{{name}}}}}", value)
    if "{{" in text:
        raise ValueError(f"docs/results.in asks for what is not computed: {text[text.index('{{') :][:40]}")
    return text


def values() -> dict[str, str]:
    """Text for each placeholder."""
    default = data.models()[0]
    margin = data.margin()
    best = max(right for _, _, right in margin["cells"])
    used = next(right for size, down, right in margin["cells"] if (size, down) == (1.05, 0.0))
    faces = margin["found"]
    return {
        "votes-table": markdown_table(("output", "FER+ majority", "FER2013's label"), list(_targets())),
        "perceived": _accuracy(default, "perceived"),
        "baseline": _accuracy(default, "label (baseline)"),
        "majority-samples": f"{default.metrics['votes']['with_majority']:,}",
        "copies-table": markdown_table(("output", "all samples", "without copies", "difference"), list(_copies())),
        "copies-all": percent(default.label["value"]),
        "copies-without": percent(_without(default.metrics["subsets"])["value"]),
        "votes-calibration": f"{100 * default.metrics['votes']['distribution']['calibration_error']['value']:.1f}",
        "calibration-table": markdown_table(("probabilities", "calibration error"), list(_calibrations(default))),
        "clean": percent(default.robustness.clean_accuracy.value),
        "corrupted": percent(default.robustness.mean_accuracy.value),
        "corruptions-table": markdown_table(
            ("model", "clean", "mean of 12 corruptions", "worst", "best"), list(_damage())
        ),
        "fast-times": _times_fer("fast, int8"),
        "default-times": _times_fer("default, int8"),
        "speed-table": markdown_table(("file", "accuracy", "faces/s", "times fer", "ms, one face"), list(_speed())),
        "study-a-default-rate": points(_difference("study-a", "sgd-0.01"), flip=True),
        "study-a-tenth": points(_difference("study-a", "sgd-0.1")),
        "study-a-momentum": points(_difference("study-a", "sgd-0.03-momentum"), flip=True),
        "study-a-table": _study("study-a"),
        "study-a-runs": _runs("study-a"),
        "study-b-merged": points(_difference("study-b", "6b")),
        "study-b-after": percent(_difference("study-b", "6b").value),
        "study-b-before": percent(_difference("study-b", "6b").baseline),
        "study-b-p": f"{_difference('study-b', '6b').p_value:.2f}",
        "study-b-table": _study("study-b", last=True),
        "training-table": markdown_table(("run", "trained on", "60%", "64.3%", "whole run", "best"), list(_training())),
        "margin-found": percent(faces / margin["faces"]),
        "margin-faces": f"{margin['faces']:,}",
        "margin-as-is": percent(margin["right_as_they_are"] / faces),
        "margin-used": percent(used / faces),
        "margin-lost": f"{100 * (margin['right_as_they_are'] - used) / faces:.1f}",
        "margin-best": percent(best / faces),
    }


def drawings() -> dict[str, tuple[list[Path], Callable[[], Chart]]]:
    """Each chart by file name: the files that it is drawn from, and the function that draws it."""
    folders = [find_run(name).path for name in SHIPPED]
    metrics, robustness, history = (
        [folder / file for folder in folders] for file in ("metrics.json", "robustness.json", "history.csv")
    )
    studies = {name: [each.folder for each in data.runs_of(name)] for name in STUDY_NAMES}
    specs = ROOT / "src" / "mien" / "studies"
    return {
        "epochs": ([file for file in history if file.is_file()], lambda: charts.epochs_chart(data.models())),
        "copies": (metrics, lambda: charts.copies_chart(list(_pairs()))),
        "calibration": (metrics[:1], lambda: charts.calibration_chart(data.models()[0])),
        "corruptions": (robustness[:1], lambda: charts.corruptions_chart(data.models()[0])),
        "accuracy-speed": ([data.SPEED, *metrics], lambda: charts.speed_chart(list(_speed_points()))),
        **{
            name: (
                [specs / f"{name}.toml", *(folder / "predictions_validation.npz" for folder in folders)],
                lambda name=name: charts.forest_chart(data.study_table(name), STUDY_NAMES[name]),
            )
            for name, folders in studies.items()
        },
        "training-time": (
            [each.folder / "history.csv" for _, each in _timed()],
            lambda: charts.training_chart([_curve(*each) for each in _timed()]),
        ),
        "margin": ([data.MARGIN], lambda: charts.margin_chart(data.margin())),
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
    """Write the charts and the pages."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, (files, draw) in (drawings() | make_studies.drawings()).items():
        svg = draw().svg_file() + f"{STAMP}{digest(files)} -->\n".encode()
        write_bytes(IMAGES / f"{name}.svg", svg)
    write_text(PAGE, page())
    write_text(make_studies.PAGE, make_studies.page())


def _targets() -> Iterator[tuple[str, ...]]:
    for model in data.models():
        if model.output("perceived"):
            yield f"`{model.name}`, output `perceived`", _accuracy(model, "perceived"), ""
        of_votes = _accuracy(model, "label (baseline)") if model.output("label (baseline)") else "not measured"
        yield f"`{model.name}`, output `fer2013`", of_votes, interval(model.label)


def _pairs() -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    for model in data.models():
        yield f"{model.name}, FER2013's label", model.label, _without(model.metrics["subsets"])
        output = model.output("perceived")
        if output:
            whole = output["evaluation"]["headline"]["accuracy"]
            yield f"{model.name}, FER+ majority", whole, _without(output["subsets"])


def _copies() -> Iterator[tuple[str, ...]]:
    for name, whole, without in _pairs():
        lost = 100 * (without["value"] - whole["value"])
        yield name, interval(whole), interval(without), f"{lost:+.1f} points".replace("-", "−")


def _without(subsets: list[dict[str, object]]) -> dict[str, float]:
    """Accuracy without samples that have a copy in training; the second subset of each ``metrics.json``."""
    return dict(subsets[1]["accuracy"])  # type: ignore[call-overload]


def _calibrations(model: Model) -> Iterator[tuple[str, ...]]:
    votes = model.metrics["votes"]["distribution"]["calibration_error"]
    yield "`perceived`, against the fraction of annotators", interval(votes, "")
    yield "`fer2013`, against the label, cross-fitted temperature", interval(model.card["calibration"]["all"], "")
    yield "the same without copies of training images", interval(model.card["calibration"]["unseen"], "")


def _damage() -> Iterator[tuple[str, ...]]:
    for model in data.models():
        result = model.robustness
        means = dict(zip(result.corruptions, result.accuracy.mean(axis=1), strict=True))
        worst, best = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
        yield (
            f"`{model.name}`", estimate(result.clean_accuracy), estimate(result.mean_accuracy),
            f"{worst} {percent(means[worst])}", f"{best} {percent(means[best])}",
        )  # fmt: skip


def _speed() -> Iterator[tuple[str, ...]]:
    fer = data.speed()[0]
    for row in data.speed():
        rate = row["faces_per_second"]
        accuracy = next((each[2] for each in _speed_points() if each[0] == row["name"]), row["accuracy"])
        times = f"{rate / fer['faces_per_second']:.2f}"
        yield row["name"], percent(accuracy), f"{rate:,.0f}", times, f"{row['ms_one_face']:.2f}"


def _times_fer(name: str) -> str:
    rates = {row["name"]: row["faces_per_second"] for row in data.speed()}
    return f"{rates[name] / data.speed()[0]['faces_per_second']:.1f}"


def _speed_points() -> Iterator[tuple[str, float, float]]:
    """Times as kept; accuracy of the files that ship, and of peers as kept."""
    accuracies = {}
    for model in data.models():
        accuracies[f"{model.name}, fp32"] = model.label["value"]
        accuracies[f"{model.name}, int8"] = model.card["int8"]["accuracy"]
    for row in data.speed():
        yield row["name"], row["ms_one_face"], accuracies.get(row["name"], row["accuracy"])


def _difference(study: str, variant: str) -> RepeatedDifference:
    """Of the study's comparison that has this variant."""
    entries = [entry for each in data.study_table(study).comparisons for entry in each.entries]
    return next(entry.differences["accuracy"] for entry in entries if entry.name == variant)


def _study(name: str, last: bool = False) -> str:
    """The table of a study; ``last`` adds the accuracy after each run's last epoch, beside the best one's."""
    table = data.study_table(name)
    rows = []
    for row in table.rows:
        published = row.variant.published.get("accuracy")
        cells = ["not run", "", ""]
        if row.metrics:
            found: Spread = row.metrics["accuracy"]
            spread = f" ± {100 * found.deviation:.1f}" if found.runs > 1 else ""
            cells = [
                f"{percent(found.mean)}{spread}",
                f"[{100 * found.interval.low:.1f}, {100 * found.interval.high:.1f}]", str(found.runs),
            ]  # fmt: skip
        after_last = [_last_accuracy(each) for run, each in table.runs if run.variant == row.variant.name]
        if last:
            cells.append(percent(fmean(after_last)) if after_last else "")
        rows.append((STUDY_NAMES[name][row.variant.name], percent(published) if published else "", *cells))
    headers = ("variant", "published", "ours, mean ± sd over seeds", "95% over images", "seeds")
    return markdown_table((*headers, *(("last epoch",) if last else ())), rows)


def _last_accuracy(done: data.CompletedRun) -> float:
    return float(RunFolder(done.folder).read_history()[-1]["validation_accuracy"])


def _runs(name: str) -> str:
    table = data.study_table(name)
    done, missing = len(table.runs), sum(row.missing for row in table.rows)
    return f"{done} of {done + missing}"


def _timed() -> list[tuple[str, data.CompletedRun]]:
    runs = {
        "Study A, Adam": ("study-a", "adam", 0),
        "Study A, SGD 0.1": ("study-a", "sgd-0.1", 0),
        "Study B, 7 classes": ("study-b", "1", 0),
    }
    found = [(name, data.run_of(*key)) for name, key in runs.items()]
    return [(f"{name}; {_machine(run)}", run) for name, run in found]


def _machine(run: data.CompletedRun) -> str:
    return "one H200" if run.record.machine["device"].startswith("cuda") else "one CPU core"


def _curve(name: str, run: data.CompletedRun) -> tuple[str, list[float], list[float]]:
    columns = data.history(run.folder / "history.csv")
    return name, columns["seconds"], columns["validation_accuracy"]


def _training() -> Iterator[tuple[str, ...]]:
    for each in _timed():
        name, seconds, accuracies = _curve(*each)
        first = [
            next((duration(at) for at, value in zip(seconds, accuracies, strict=True) if value >= bar), "not reached")
            for bar in (0.6, 0.643)
        ]
        run, _, machine = name.partition("; ")
        yield run, machine, *first, duration(seconds[-1]), percent(max(accuracies))


def _accuracy(model: Model, output: str) -> str:
    found = model.output(output)
    assert found is not None
    return interval(found["evaluation"]["headline"]["accuracy"])


if __name__ == "__main__":
    main()
