"""``mien recipes``: the recipes that come with mien."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import JsonOption, QuietOption, show, show_json


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe as TOML, every key with its value.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the recipes that come with mien, or print one as TOML to start one's own from."""
    from mien.recipe_file import dump_recipe, load_recipe, recipe_names

    if name is not None:
        recipe = load_recipe(name)
        if json:
            show_json(recipe.model_dump(mode="json"))
        else:
            typer.echo(dump_recipe(recipe), nl=False)
        return
    known = {each: load_recipe(each) for each in recipe_names()}
    if json:
        show_json({each: recipe.description for each, recipe in known.items()})
        return
    from rich.table import Table

    table = Table("recipe", "model", "epochs", "what it is for", box=None, pad_edge=False)
    for each, recipe in known.items():
        table.add_row(each, recipe.model.name, str(recipe.epochs), recipe.description)
    show(table)
