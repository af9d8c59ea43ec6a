"""The card of a model: what it is, how well it does and what it is not for, as the hub's ``README.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mien.manifest import Manifest

_HEADLINE = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_auc": "macro-AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}

_CAUTIONS = """## What it is not for

It classifies the expression in an image of a face. It does not know what a person feels: people smile without joy and
grieve without a frown (Barrett et al., Psychological Science in the Public Interest 20, 2019). Not for decisions about
people, such as hiring, grading, credit, policing, care or border control. Inferring emotions at work and in education
is prohibited in the European Union (Regulation (EU) 2024/1689, Article 5(1)(f)). Measure it on your own people before
any use: expression classifiers err more for some ages, genders and skin colours."""


def model_card(manifest: Manifest, repository: str, metrics: Path | None = None) -> str:
    """Markdown with the hub's header.

    Args:
        manifest: of the model file.
        repository: ``OWNER/NAME`` on the hub.
        metrics: the run's ``metrics.json``; None or missing leaves the tables of metrics out.
    """
    spec = manifest.input
    colour = "grey" if spec.channels == 1 else "colour"
    network = manifest.recipe.get("model")
    facts = [
        ("classes", ", ".join(manifest.classes)),
        ("outputs", ", ".join(f"{each.name} ({len(each.classes)})" for each in manifest.all_outputs if each.name)),
        ("network", f"{network.get('name', '?') if isinstance(network, dict) else '?'}"),
        ("parameters", f"{manifest.parameters:,}"),
        ("input", f"{colour}, {spec.size_px} px, of which the central {spec.crop_px} px are seen"),
        ("recipe", f"{manifest.recipe.get('name', manifest.name)}, {manifest.recipe_digest}"),
        ("data fingerprint", manifest.data_fingerprint),
        ("precision", manifest.precision),
        ("licence", manifest.licence),
        ("made", f"{manifest.created} by mien {manifest.mien_version}"),
    ]
    address = f"hf://{repository}"
    parts = [
        _header(manifest),
        f"# {_plain(manifest.full_name)}",
        "A classifier of facial expressions, trained with mien.",
        f"```\npip install 'mien[hub]'\nmien predict photo.jpg --model {address}\n```",
        f'```python\nimport mien\n\nmien.load("{address}").predict("photo.jpg")\n```',
        _table(("", ""), [(name, value) for name, value in facts if value]),
        *_metrics(metrics),
        _CAUTIONS,
    ]
    return "\n\n".join(parts) + "\n"


def _header(manifest: Manifest) -> str:
    """The hub's metadata. JSON's strings are YAML's: nothing of a manifest can add a key."""
    licence = manifest.licence.lower()
    known = licence if licence in {"mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc0-1.0"} else "other"
    lines = [
        f"license: {known}",
        *([f"license_name: {json.dumps(manifest.licence)}"] if known == "other" else []),
        "library_name: mien",
        "pipeline_tag: image-classification",
        'tags: ["facial-expression", "onnx"]',
    ]
    return "\n".join(["---", *lines, "---"])


def _metrics(file: Path | None) -> Iterable[str]:
    if file is None or not file.is_file():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    found = content.get("headline", {})
    rows = [(words, _interval(found[name])) for name, words in _HEADLINE.items() if name in found]
    count = content.get("samples", content.get("rows", 0))
    yield (
        f"## Metrics\n\nOn {count:,} samples of the {content.get('split')} split. Epoch and settings may "
        f"have been chosen on them. In brackets: 95% intervals, over samples."
    )
    yield _table(("metric", "value"), rows)
    names = ("precision", "recall", "f1", "support")
    classes = [(each["name"], *(_number(each.get(name)) for name in names)) for each in content.get("per_class", ())]
    yield _table(("class", "precision", "recall", "F1", "samples"), classes)


def _interval(estimate: dict[str, Any]) -> str:
    value, low, high = (_number(estimate.get(key)) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _number(value: Any) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text of a manifest as it is: no cell ends early, and no tag, link or line begins."""
    marks = {"|": "&#124;", "<": "&lt;", "[": "&#91;", "`": "&#96;"}
    return "".join(marks.get(each, each) for each in " ".join(text.split()))
