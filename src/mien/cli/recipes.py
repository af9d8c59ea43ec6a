"""``mien recipes``: the recipes that come with mien."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from mien.cli.options import JsonOption, QuietOption
from mien.cli.output import show, show_json
from mien.recipe_file import dump_recipe, load_recipe, recipe_names


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe as TOML, with the value of every key.", metavar="NAME")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the built-in recipes, or print one as TOML: a starting point for your own."""
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
    table = Table("recipe", "model", "epochs", "description", box=None, pad_edge=False)
    for each, recipe in known.items():
        table.add_row(each, recipe.model.name, str(recipe.epochs), recipe.description)
    show(table)
