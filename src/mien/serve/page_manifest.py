"""What the browser page reads of a model: its manifest, and how often its other outputs are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.files import file_sha256
from mien.manifest import Manifest


def page_manifest(model: Path, manifest: Manifest) -> dict[str, Any]:
    """The content of the page's ``model.json``.

    The scores of a manifest are those of the label's output. So ``majority_accuracy`` is added: for each other output,
    by name, its accuracy by the majority of the annotators of validation. It is taken from ``metrics.json`` or
    ``card.json`` beside the model, if these are of this very file. An output that was not measured is left out.
    """
    found: Mapping[str, float] = {}
    for read in (_from_card, _from_metrics):
        try:
            found = found or read(model, manifest)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    others = {each.name for each in manifest.all_outputs if each.perceived}
    shares = {name: share for name, share in found.items() if name in others}
    return manifest.model_dump(mode="json") | ({"majority_accuracy": shares} if shares else {})


def _from_metrics(model: Path, manifest: Manifest) -> Mapping[str, float]:
    """Of ``metrics.json``, if it has the manifest's scores: a smaller form of the model has others."""
    metrics = json.loads((model.parent / "metrics.json").read_bytes())
    headline = {f"{metrics['split']}_{name}": each["value"] for name, each in metrics["headline"].items()}
    if not manifest.scores or any(headline.get(name) != value for name, value in manifest.scores.items()):
        return {}
    measured = metrics["votes"]["majority"]
    return _shares({each["output"]: each["evaluation"]["headline"]["accuracy"]["value"] for each in measured})


def _from_card(model: Path, manifest: Manifest) -> Mapping[str, float]:
    """Of the ``card.json`` of a model that comes with mien, which names its files by their digests."""
    card = json.loads((model.parent / "card.json").read_bytes())
    if manifest.precision != "int8" or card["sha256"][model.name] != file_sha256(model):
        return {}
    return _shares(card["int8"]["majority_accuracy"])


def _shares(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if isinstance(value, float) and 0 <= value <= 1}
