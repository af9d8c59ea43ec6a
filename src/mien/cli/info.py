"""``mien info``: what a model is."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import MODEL_HELP, JsonOption, QuietOption, show, show_json


def info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "default",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show a model's manifest: classes, input, origin, measured scores."""
    from mien.artifact import read_manifest
    from mien.inference.locate import find_model

    file = find_model(model)
    manifest = read_manifest(file)
    if json:
        show_json(manifest.model_dump(mode="json"))
        return
    from rich.table import Table

    spec, network = manifest.input, manifest.recipe.get("model", {}).get("name", "?")
    rows = {
        "file": f"{file} ({file.stat().st_size / 1e6:.2f} MB)",
        "name": manifest.full_name,
        "classes": ", ".join(manifest.classes),
        "input": f"grey {spec.size_px} px, its central {spec.crop_px} px; (pixel / 255 - {spec.mean}) / {spec.std}",
        "weights": manifest.precision,
        "network": f"{network}, {manifest.parameters:,} trainable numbers",
        "epoch": str(manifest.epoch),
        "temperature": f"{manifest.temperature:g}",
        **{name.replace("_", " ", 1): f"{value:.4f}" for name, value in manifest.scores.items()},
        "figures": "of the network without its temperature",
        "recipe": f"{manifest.recipe.get('name', manifest.name)}, {manifest.recipe_digest}",
        "data": manifest.data_fingerprint,
        **({"cleaned from": ", ".join(manifest.cleaned_from)} if manifest.cleaned_from else {}),
        "licence": manifest.licence,
        "made": f"{manifest.created} by mien {manifest.mien_version}",
    }
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    table.columns[1].overflow = "fold"
    for name, value in rows.items():
        table.add_row(name, value)
    show(table)
