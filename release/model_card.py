"""Write docs/model-card.md from what was recorded when each model was shipped. A test fails when the page is stale.

python release/model_card.py
"""

from __future__ import annotations

import json
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

from mien.base.files import write_text
from mien.base.model_file import read_manifest
from mien.evaluation.corruptions import CORRUPTIONS
from mien.inference.find_model import SHIPPED, find_run

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "model-card.md"
WORDS = Path(__file__).with_name("model-card.md")
"""The page's words; ``{{teachers}}`` becomes the commands that all models share, ``{{models}}`` the metrics."""


def page() -> str:
    """The whole page as Markdown."""
    commands = [
        json.loads((find_run(name).path / "card.json").read_text(encoding="utf-8"))["made_by"] for name in SHIPPED
    ]
    shared = [same[0] for same in takewhile(lambda each: len(set(each)) == 1, zip(*commands, strict=False))]
    models = "\n\n".join(_model(name, len(shared)) for name in SHIPPED)
    words = WORDS.read_text(encoding="utf-8")
    return words.replace("{{teachers}}", "\n".join(shared)).replace("{{models}}", models)


def _epoch(number: int) -> str:
    return f"epoch {number}" if number else "a mean of weights"


def _model(name: str, shared: int) -> str:
    run = find_run(name)
    card, metrics, robustness = (
        json.loads((run.path / file).read_text(encoding="utf-8"))
        for file in ("card.json", "metrics.json", "robustness.json")
    )
    manifest = read_manifest(run.model)
    views, int8 = card["accuracy_by_views"], card["int8"]
    facts = [
        ("network", f"`{manifest.recipe['model']['name']}`, {manifest.parameters:,} parameters"),
        ("input", f"grey, {manifest.input.size_px} px, of which the central {manifest.input.crop_px} px are seen"),
        ("recipe", f"`{card['recipe']}`, {_epoch(manifest.epoch)}; {manifest.recipe_digest}"),
        ("distilled from", ", ".join(manifest.taught_by) or "nothing: labels alone"),
        ("data", f"FER2013's Training split alone; {manifest.data_fingerprint}"),
        ("temperature", f"{manifest.temperature:.3g}, fitted on validation"),
        *(
            []
            if (rule := manifest.answer) is None
            else [("answer", f"prior to the power of {rule.strength:g} taken out, unsure below {rule.unsure_below:g}")]
        ),
        ("files", "; ".join(f"`{file}` {size / 1e6:.2f} MB" for file, size in card["bytes"].items())),
        ("stored as", f"{card['precision']}, computed in fp32; the int8 form in 8 bits"),
        ("licence", manifest.licence),
        *((f"SHA-256 of `{file}`", f"`{digest}`") for file, digest in card["sha256"].items()),
    ]
    measured = [("accuracy, all samples", _interval(metrics["headline"]["accuracy"], 100))]
    measured += [
        (f"the same, test-time augmentation with {number} views", f"{100 * views[number]:.1f}%")
        for number in ("2", "10")
    ]
    measured += [("the same, int8", f"{100 * int8['accuracy']:.1f}%")]
    measured += [
        (f"accuracy, {part['value']} ({part['count']:,} samples)", _interval(part["accuracy"], 100))
        for part in metrics["subsets"]
        if part["count"] != _samples(metrics)
    ]
    measured += _votes(metrics.get("votes"))
    headline = metrics["headline"]
    measured += [
        (words, _interval(headline[key]))
        for key, words in (
            ("macro_f1", "macro-F1"),
            ("macro_auc", "macro-AUC"),
            ("log_loss", "log loss"),
            ("calibration_error", "calibration error, 15 bins, without the temperature"),
        )
    ]
    measured += [
        (f"the same, at a temperature fitted on other samples{where}", _interval(card["calibration"][samples]))
        for samples, where in (("all", ""), ("unseen", "; without leaked samples"))
    ]
    classes = [
        (each["name"], *(f"{each[figure]:.3f}" for figure in ("precision", "recall", "f1", "auc")), each["support"])
        for each in metrics["per_class"]
    ]
    shares = robustness["accuracy"]
    corrupted = [(kind, *(f"{100 * share:.1f}" for share in shares[kind])) for kind in CORRUPTIONS if kind in shares]
    mean = _interval(robustness["mean_accuracy"], 100)
    made_by = "\n".join(card["made_by"][shared:])
    return "\n\n".join(
        [
            f"## `{name}`",
            _table(("", ""), facts),
            f"On FER2013's PublicTest ({_samples(metrics):,} samples), on which settings were chosen, so these "
            "metrics are flattered. Intervals are 95%, over samples.",
            _table(("metric", f"`{name}`"), measured),
            _table(("class", "precision", "recall", "F1", "AUC", "samples"), classes),
            f"Accuracy in % on corrupted images, at five strengths ({robustness['faces']:,} samples; "
            f"mean over all: {mean}):",
            _table(("corruption", "1", "2", "3", "4", "5"), corrupted),
            f"Made by the commands of [Teachers](#teachers), then:\n\n```text\n{made_by}\n```",
        ]
    )


def _votes(votes: dict[str, Any] | None) -> list[tuple[str, str]]:
    """FER+'s protocol: accuracy by what most annotators saw, of each output, and the distribution of the votes."""
    if votes is None:
        return []
    found = [
        (
            f"accuracy, FER+ majority, output `{each['output']}` ({votes['with_majority']:,} samples)",
            _interval(_accuracy(each["evaluation"]), 100),
        )
        for each in votes["majority"]
    ]
    if votes["distribution"]:
        found += [
            ("cross-entropy with the votes, in nats", _interval(votes["distribution"]["cross_entropy"])),
            ("Jensen-Shannon divergence from the votes, in nats", _interval(votes["distribution"]["jensen_shannon"])),
        ]
    return found


def _accuracy(evaluation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = evaluation["headline"]["accuracy"]
    return found


def _interval(estimate: dict[str, Any], scale: float = 1) -> str:
    digits, unit = (1, "%") if scale != 1 else (3, "")
    value, low, high = (f"{scale * estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value}{unit} [{low}, {high}]"


def _table(header: tuple[str, ...], rows: list[Any]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _samples(metrics: dict[str, Any]) -> int:
    """The number of samples, which files of earlier versions call rows."""
    return int(metrics.get("samples", metrics.get("rows")))


if __name__ == "__main__":
    write_text(PAGE, page())
    sys.stdout.write(f"{PAGE}\n")
