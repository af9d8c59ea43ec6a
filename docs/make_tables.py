"""Write docs/results.md and docs/studies.md from kept results: ``make docs-charts``.

A test fails when they are stale. The words are in ``results.in`` and ``studies.in``. ``{{name}}`` is replaced by what
``_values`` computes. Of a study NAME in ``benchmarks/results``:

    {{NAME runs}}                       how many of its runs are finished
    {{NAME table N}}                    its Nth comparison, counted from 1
    {{NAME costs}}                      accuracy of each variant, its parameters, and the time of one face
    {{NAME difference VARIANT METRIC}}  from the baseline, with interval and corrected p-value
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import kept
from kept import Model

from mien.base.files import write_text
from mien.page.wording import p_text
from mien.runs.page import in_percent, metric_name, metric_text, spread_text

DOCS = Path(__file__).parent
PAGES = ("results", "studies")
SIGNIFICANT = 0.05
"""The corrected p-value below which a difference is printed bold."""

_OF_STUDY = re.compile(r"\{\{(\S+) (runs|table|difference|costs)(?: (\S+))?(?: (\S+))?\}\}")


def page(name: str) -> str:
    """A page as Markdown, from its words."""
    text = (DOCS / f"{name}.in").read_text(encoding="utf-8")
    text = _OF_STUDY.sub(lambda found: _OF_STUDIES[found[2]](*filter(None, (found[1], found[3], found[4]))), text)
    if name == "results":
        values = _values()
        for asked, value in values.items():
            if f"{{{{{asked}}}}}" not in text:
                raise ValueError(f"docs/results.in does not use {asked}")
            text = text.replace(f"{{{{{asked}}}}}", value)
    if "{{" in text:
        raise ValueError(f"docs/{name}.in asks for what is not computed: {text[text.index('{{') :][:40]}")
    return text


def main() -> None:
    """Write both pages."""
    for name in PAGES:
        write_text(DOCS / f"{name}.md", page(name))


def pairs() -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """Each output of a model that ships, with its accuracy on all samples and on those without copies in training."""
    for model in kept.models():
        yield f"{model.name}, FER2013's label", model.label, _without_copies(model.metrics["subsets"])
        output = model.output("perceived")
        if output:
            whole = output["evaluation"]["headline"]["accuracy"]
            yield f"{model.name}, FER+ majority", whole, _without_copies(output["subsets"])


def speed_points() -> Iterator[tuple[str, float, float]]:
    """Milliseconds a face as kept, and the accuracy: of the files that ship, and of peers as kept."""
    accuracies = {}
    for model in kept.models():
        accuracies[f"{model.name}, fp32"] = model.label["value"]
        accuracies[f"{model.name}, int8"] = model.card["int8"]["accuracy"]
    for row in kept.speed():
        yield row["name"], row["ms_one_face"], accuracies.get(row["name"], row["accuracy"])


def timed() -> Iterator[tuple[str, str, list[float], list[float]]]:
    """Runs of the two studies: name, machine, and after each epoch the seconds and the validation accuracy."""
    for name, study, variant in (
        ("Study A, Adam", "study-a", "adam"),
        ("Study A, SGD 0.1", "study-a", "sgd-0.1"),
        ("Study B, 7 classes", "study-b", "1"),
    ):
        run = kept.study(study).runs(variant)[0]
        machine = "one H200" if run["machine"]["device"].startswith("cuda") else "one CPU core"
        yield name, machine, run["history"]["seconds"], run["history"]["validation_accuracy"]


def _values() -> dict[str, str]:
    default = kept.models()[0]
    votes = default.metrics["votes"]
    rates = {row["name"]: row["faces_per_second"] / kept.speed()[0]["faces_per_second"] for row in kept.speed()}
    merged = kept.study("study-b").differences("6b")["accuracy"]
    return {
        "votes-table": _table(("output", "FER+ majority", "FER2013's label"), _targets()),
        "perceived": _accuracy(default, "perceived"),
        "baseline": _accuracy(default, "label (baseline)"),
        "majority-samples": f"{votes['with_majority']:,}",
        "copies-table": _table(("output", "all samples", "without copies", "difference"), _copies()),
        "copies-all": _percent(default.label["value"]),
        "copies-without": _percent(_without_copies(default.metrics["subsets"])["value"]),
        "votes-calibration": f"{100 * votes['distribution']['calibration_error']['value']:.1f}",
        "calibration-table": _table(("probabilities", "calibration error"), _calibrations(default)),
        "clean": _percent(default.robustness.clean_accuracy.value),
        "corrupted": _percent(default.robustness.mean_accuracy.value),
        "corruptions-table": _table(("model", "clean", "mean of 12 corruptions", "worst", "best"), _damage()),
        "fast-times": f"{rates['fast, int8']:.1f}",
        "default-times": f"{rates['default, int8']:.1f}",
        "speed-table": _table(("file", "accuracy", "faces/s", "times fer", "ms, one face"), _speed(rates)),
        "study-a-table": _published("study-a"),
        "study-b-merged": _in_points(merged, "accuracy"),
        "study-b-after": _percent(merged["value"]),
        "study-b-before": _percent(merged["baseline"]),
        "study-b-p": f"{merged['p_value']:.2f}",
        "study-b-table": _published("study-b", last=True),
        "training-table": _table(("run", "trained on", "60%", "64.3%", "whole run", "best"), _training()),
    }


def _targets() -> Iterator[tuple[str, ...]]:
    for model in kept.models():
        if model.output("perceived"):
            yield f"`{model.name}`, output `perceived`", _accuracy(model, "perceived"), ""
        of_votes = _accuracy(model, "label (baseline)") if model.output("label (baseline)") else "not measured"
        yield f"`{model.name}`, output `fer2013`", of_votes, _interval(model.label)


def _copies() -> Iterator[tuple[str, ...]]:
    for name, whole, without in pairs():
        lost = 100 * (without["value"] - whole["value"])
        yield name, _interval(whole), _interval(without), f"{_signed(lost, 1)} points"


def _without_copies(subsets: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy without samples that have a copy in training; the second subset of each ``metrics.json``."""
    return dict(subsets[1]["accuracy"])


def _calibrations(model: Model) -> Iterator[tuple[str, ...]]:
    votes = model.metrics["votes"]["distribution"]["calibration_error"]
    yield "`perceived`, against the fraction of annotators", _interval(votes, "")
    yield "`fer2013`, against the label, cross-fitted temperature", _interval(model.card["calibration"]["all"], "")
    yield "the same without copies of training images", _interval(model.card["calibration"]["unseen"], "")


def _damage() -> Iterator[tuple[str, ...]]:
    for model in kept.models():
        result = model.robustness
        means = dict(zip(result.corruptions, result.accuracy.mean(axis=1), strict=True))
        by_accuracy = sorted(means, key=lambda name: means[name])
        ends = (f"{name} {_percent(means[name])}" for name in (by_accuracy[0], by_accuracy[-1]))
        yield f"`{model.name}`", _interval(vars(result.clean_accuracy)), _interval(vars(result.mean_accuracy)), *ends


def _speed(rates: dict[str, float]) -> Iterator[tuple[str, ...]]:
    for row, (name, milliseconds, accuracy) in zip(kept.speed(), speed_points(), strict=True):
        yield name, _percent(accuracy), f"{row['faces_per_second']:,.0f}", f"{rates[name]:.2f}", f"{milliseconds:.2f}"


def _training() -> Iterator[tuple[str, ...]]:
    for name, machine, seconds, accuracies in timed():
        reached = [
            next((_duration(at) for at, value in zip(seconds, accuracies, strict=True) if value >= bar), "not reached")
            for bar in (0.6, 0.643)
        ]
        yield name, machine, *reached, _duration(seconds[-1]), _percent(max(accuracies))


def _accuracy(model: Model, output: str) -> str:
    found = model.output(output)
    assert found is not None
    return _interval(found["evaluation"]["headline"]["accuracy"])


def _published(name: str, last: bool = False) -> str:
    """All variants beside the published values; ``last`` adds the accuracy after each run's last epoch."""
    study = kept.study(name)
    rows = []
    for variant, row in study.variants.items():
        published, found = row["published"].get("accuracy"), study.spread(variant, "accuracy")
        cells = ["not run", "", ""]
        if found:
            spread = f" ± {100 * found.deviation:.1f}" if found.runs > 1 else ""
            ends = f"[{100 * found.interval.low:.1f}, {100 * found.interval.high:.1f}]"
            cells = [f"{_percent(found.mean)}{spread}", ends, str(found.runs)]
        after_last = [run["history"]["validation_accuracy"][-1] for run in study.runs(variant)]
        if last:
            cells.append(_percent(fmean(after_last)) if after_last else "")
        rows.append((row["short"], _percent(published) if published else "", *cells))
    headers = ("variant", "published", "ours, mean ± sd over seeds", "95% over images", "seeds")
    return _table((*headers, *(("last epoch",) if last else ())), rows)


def _runs(name: str) -> str:
    study = kept.study(name)
    missing = sum(row["missing"] for row in study.variants.values() if not row["after"] and not row["optional"])
    done = len(study.content["runs"])
    return f"{done} of {done + missing}"


def _comparison(name: str, number: str) -> str:
    study = kept.study(name)
    compared = study.content["comparisons"][int(number) - 1]
    baseline, metrics = compared["baseline"], study.metrics
    spreads = {metric: study.spread(baseline, metric) for metric in metrics}
    if compared["classes"] == "all":
        levels = [spread_text(metric, spread) for metric, spread in spreads.items() if spread]
    else:
        first = compared["variants"][0]["differences"]
        levels = [metric_text(metric, first[metric]["baseline"]) if metric in first else "" for metric in metrics]
    title, seeds = study.variants[baseline]["title"], len(study.variants[baseline]["metrics"][metrics[0]]["values"])
    rows = [(f"`{baseline}`, the baseline", title, *levels, str(seeds))]
    for each in compared["variants"]:
        differences = each["differences"]
        pairs_of_runs = next((str(found["seeds"]) for found in differences.values()), "0")
        cells = [_change(differences.get(metric), metric, with_ends=metric == metrics[0]) for metric in metrics]
        rows.append((f"`{each['variant']}`", study.variants[each["variant"]]["title"], *cells, pairs_of_runs))
    return _table(("variant", "what", *map(metric_name, metrics), "seeds"), rows)


def _costs(name: str) -> str:
    study = kept.study(name)
    times = study.content["seconds_a_face"]
    rows = []
    for variant, row in study.variants.items():
        spread, runs = study.spread(variant, "accuracy"), study.runs(variant)
        if spread and runs:
            numbers = f"{runs[0]['parameters']:,}", f"{1e3 * times[variant]:.2f} ms"
            rows.append((f"`{variant}`", row["title"], spread_text("accuracy", spread), *numbers))
    return _table(("variant", "what", "accuracy", "parameters", "one face"), rows)


def _difference(name: str, variant: str, metric: str) -> str:
    found = kept.study(name).differences(variant)[metric]
    return f"{_in_points(found, metric)}, {p_text(found['adjusted_p_value'])}"


def _in_points(found: dict[str, Any], metric: str) -> str:
    """As :func:`_with_ends`, with the unit."""
    value, rest = _with_ends(found, metric).split(" ", 1)
    return f"{value}{' points' if in_percent(metric) else ''} {rest}"


def _change(found: dict[str, Any] | None, metric: str, with_ends: bool) -> str:
    if found is None or math.isnan(found["difference"]["value"]):
        return ""
    text = _with_ends(found, metric) if with_ends else _with_ends(found, metric).split(" ", 1)[0]
    return f"**{text}**" if found["adjusted_p_value"] < SIGNIFICANT else text


def _with_ends(found: dict[str, Any], metric: str) -> str:
    scale, digits = (100, 1) if in_percent(metric) else (1, 3)
    value, low, high = (_signed(scale * found["difference"][key], digits) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


_OF_STUDIES: dict[str, Callable[..., str]] = {
    "runs": _runs,
    "table": _comparison,
    "difference": _difference,
    "costs": _costs,
}


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"


def _interval(value: dict[str, float], sign: str = "%") -> str:
    """A value with its interval, where it has one; ``sign`` comes after the value."""
    ends = "" if value["low"] is None else f" [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"
    return f"{100 * value['value']:.1f}{sign}{ends}"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
