"""``mien info``: show the metadata of a model, or the built-in recipes."""

import typer

from mien.api.train import load_network
from mien.base.heads.votes import VotesHead
from mien.base.model_file import Manifest, read_manifest
from mien.base.recipe import dump_recipe, load_recipe, recipe_names
from mien.cli.output import show_facts, show_json, show_rows
from mien.cli.usage import leave_out
from mien.inference.drawing import share_text
from mien.inference.find_model import find_model, find_trained


def info(
    model: str = "default",
    *,
    recipe: str | None = None,
    recipes: bool = False,
    layers: bool = False,
    json: bool = False,
) -> None:
    """Show the metadata of a model: classes, input, origin, metrics. With --recipes or --recipe, show recipes.

    Options:
        recipe (NAME): Print this recipe as TOML, with every key, to start your own from.
        recipes: List the built-in recipes.
        layers: List the layers of the model's network.
    """
    if recipe is not None or recipes:
        given = {"--layers": layers, "the model": model != "default", "--recipes": recipe is not None and recipes}
        leave_out("Recipes are shown without a model, one or all", given)
    if recipe is not None:
        chosen = load_recipe(recipe)
        show_json(chosen.model_dump(mode="json")) if json else typer.echo(dump_recipe(chosen), nl=False)
    elif recipes:
        known = [load_recipe(name) for name in recipe_names()]
        show_rows(
            [{"name": r.name, "model": r.model.name, "epochs": r.epochs, "description": r.description} for r in known],
            json,
        )
    elif layers:
        network, seen = load_network(model), find_trained(model).read_recipe().input
        from mien.models.network import layers_of

        rows = layers_of(network, *seen.crop_and_channels[::-1])
        show_rows(rows, json)
        if not json:
            typer.echo(f"parameters: {sum(each['parameters'] for each in rows):,}")
    else:
        _show_model(model, json=json)


def _show_model(model: str, *, json: bool) -> None:
    file = find_model(model)
    manifest = read_manifest(file)
    if json:
        show_json(manifest.model_dump(mode="json"))
        return
    # A model file from elsewhere may contain any text as its recipe.
    settings = manifest.recipe.get("model")
    network = settings.get("name", "?") if isinstance(settings, dict) else "?"
    facts = {
        "file": f"{file} ({file.stat().st_size / 1e6:.2f} MB)",
        "name": manifest.full_name,
        **_outputs(manifest),
        "input": str(manifest.input),
        "precision": manifest.precision,
        "network": f"{network}, {manifest.parameters:,} parameters",
        "epoch": str(manifest.epoch),
        **{name.replace("_", " ", 1): f"{value:.4f}" for name, value in manifest.scores.items()},
        **({"metrics": "computed without the temperature"} if manifest.scores else {}),
        "recipe": f"{manifest.recipe.get('name', manifest.name)}, {manifest.recipe_digest}",
        "data": manifest.data_fingerprint,
        **({"related data": ", ".join(manifest.cleaned_from)} if manifest.cleaned_from else {}),
        "licence": f"{manifest.licence} (of the network and its initial weights, not of the training data)",
        "created": f"{manifest.created} by mien {manifest.mien_version}",
    }
    show_facts(facts)


def _outputs(manifest: Manifest) -> dict[str, str]:
    """Return classes and temperature of each output, the default output first."""
    rows = {}
    for each in sorted(manifest.outputs_to_choose, key=lambda output: output != manifest.output()):
        named = "" if each.name is None else f"{each.name}: "
        rows[f"{named}classes"] = ", ".join(each.classes)
        rows[f"{named}temperature"] = f"{each.temperature:g}"
        if named:
            rows[f"{named}probabilities"] = "shares of people" if each.perceived else "of the label"
        if isinstance(each, VotesHead) and each.rule is not None:
            rows[f"{named}probabilities"] = (
                f"shares of people of {each.rule.output} / prior^{each.rule.strength:g}; "
                f"unsure below {each.rule.unsure_below:g}, alternatives within {each.rule.margin:g}"
            )
            weights = [f"{name} x {weight:g}" for name, weight in each.rule.weights.items()]
            rows[f"{named}weights"] = ", ".join(weights) or "none"
            shares = (f"{name} {share_text(share)}" for name, share in zip(each.given, each.rule.prior, strict=True))
            rows[f"{named}prior"] = f"in training {', '.join(shares)}"
    return rows
