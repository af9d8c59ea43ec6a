"""Write docs/model-card.md from what was recorded when each model was shipped. A test fails when the page is stale.

python release/model_card.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.files import file_sha256, write_text
from mien.base.model_file import read_manifest
from mien.base.run_folder import SHIPPED, RunFolder, find_run
from mien.data.synthetic import render_faces
from mien.inference.predictor import Predictor

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "model-card.md"
WORDS = Path(__file__).with_name("model-card.md")
"""The page's words; ``{{NAME}}`` is replaced by a part that ``page`` makes."""


def page() -> str:
    """The whole page as Markdown."""
    cards = {name: _json(name, "card.json") for name in SHIPPED}
    facts = {name: _facts(name, card) for name, card in cards.items()}
    parts = {
        "shared": "\n".join(f"- {key}: {value}" for key, value in facts[SHIPPED[0]].items() if _is_shared(facts, key)),
        "models": _side_by_side("", facts),
        "metrics": _side_by_side("metric", {name: _metrics(name, card) for name, card in cards.items()}),
        "classes": _side_by_side("precision, recall", {name: _classes(name) for name in cards}),
    }
    words = WORDS.read_text(encoding="utf-8")
    for name, content in parts.items():
        words = words.replace(f"{{{{{name}}}}}", content)
    return words


def facts_of_files(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Digests, sizes and answers to seven rendered faces, as card.json has them."""
    models = (folder.model, folder.model_int8)
    kept = (*models, folder.best)
    drawn = render_faces(np.arange(7), seed=7)
    return {
        "sha256": {file.name: file_sha256(file) for file in kept},
        "bytes": {file.name: file.stat().st_size for file in kept},
        "answers": {file.name: np.round(Predictor(file).probabilities(drawn), 7).tolist() for file in models},
    }


def _facts(name: str, card: dict[str, Any]) -> dict[str, str]:
    manifest = read_manifest(find_run(name).model)
    rule = manifest.answer
    return {
        "network": f"`{manifest.recipe['model']['name']}`, {manifest.parameters:,} parameters",
        "input": f"grey, {manifest.input.size_px} px, of which the central {manifest.input.crop_px} px are seen",
        "recipe": f"`{card['recipe']}`, {_epoch(manifest.epoch)}; {manifest.recipe_digest}",
        "distilled from": ", ".join(manifest.taught_by),
        "data": f"FER2013's Training split; `photographs` also readings of photographs; {manifest.data_fingerprint}",
        "temperature, fitted on validation": f"{manifest.temperature:.3g}",
        "answer": "" if rule is None else str(rule),
        "stored as": f"{card['precision']}, computed in fp32; the int8 form in 8 bits",
        "licence": manifest.licence,
        **{
            f"`{file}`": f"{card['bytes'][file] / 1e6:.2f} MB, SHA-256 `{digest}`"
            for file, digest in card["sha256"].items()
        },
    }


def _epoch(number: int) -> str:
    return f"epoch {number}" if number else "a mean of weights"


def _metrics(name: str, card: dict[str, Any]) -> dict[str, str]:
    metrics = _json(name, "metrics.json")
    views, headline, subsets = card["accuracy_by_views"], metrics["headline"], metrics["subsets"]
    return {
        "accuracy, all samples": _interval(headline["accuracy"], 100),
        "the same, the mirror image too": f"{100 * views['2']:.1f}%",
        "the same, int8": f"{100 * card['int8']['accuracy']:.1f}%",
        **{f"accuracy, {each['value']}": _interval(each["accuracy"], 100) for each in subsets[1:]},
        **_votes(metrics["votes"]),
        "accuracy, mean over twelve corruptions": _interval(_json(name, "robustness.json")["mean_accuracy"], 100),
        "macro-F1": _interval(headline["macro_f1"]),
        "macro-AUC": _interval(headline["macro_auc"]),
        "log loss": _interval(headline["log_loss"]),
        "calibration error, 15 bins, without the temperature": f"{headline['calibration_error']['value']:.3f}",
        "the same, at a temperature fitted on other samples": f"{card['calibration']['all']['value']:.3f}",
        "the same, without leaked samples too": f"{card['calibration']['unseen']['value']:.3f}",
    }


def _votes(votes: dict[str, Any]) -> dict[str, str]:
    """FER+'s protocol: accuracy by what most annotators saw, of each output, and the distribution of the votes."""
    majority = {
        f"FER+ majority ({votes['with_majority']:,}), output `{each['output']}`": _interval(
            each["evaluation"]["headline"]["accuracy"], 100
        )
        for each in votes["majority"]
    }
    return majority | {"cross-entropy with the votes, in nats": _interval(votes["distribution"]["cross_entropy"])}


def _classes(name: str) -> dict[str, str]:
    return {
        f"{each['name']} ({each['support']})": f"{each['precision']:.3f}, {each['recall']:.3f}"
        for each in _json(name, "metrics.json")["per_class"]
    }


def _json(name: str, file: str) -> dict[str, Any]:
    return dict(json.loads((find_run(name).path / file).read_text(encoding="utf-8")))


def _interval(estimate: dict[str, Any], scale: float = 1) -> str:
    digits, unit = (1, "%") if scale != 1 else (3, "")
    value, *ends = (
        f"{scale * estimate[key]:.{digits}f}" for key in ("value", "low", "high") if estimate[key] is not None
    )
    return f"{value}{unit} [{', '.join(ends)}]" if ends else f"{value}{unit}"


def _is_shared(columns: dict[str, dict[str, str]], key: str) -> bool:
    return len({column[key] for column in columns.values()}) == 1


def _side_by_side(head: str, columns: dict[str, dict[str, str]]) -> str:
    """A table with a column a model, of what is not the same for all."""
    keys = [key for key in next(iter(columns.values())) if not _is_shared(columns, key)]
    rows = [(key, *(column[key] for column in columns.values())) for key in keys]
    lines = [(head, *(f"`{name}`" for name in columns)), ("---",) * (len(columns) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    write_text(PAGE, page())
    sys.stdout.write(f"{PAGE}\n")
