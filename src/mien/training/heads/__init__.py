"""Outputs of a network in training. To add a kind of output, add its head to :data:`HEADS`.

All outputs share one linear layer; its rows are the logits of the label's output, then those of the others. The loss of
a step is the weighted sum of their losses.
"""

from collections.abc import Sequence
from typing import Any

from mien.base.heads import NAMES, answering
from mien.base.recipe import Recipe
from mien.data.dataset import Dataset
from mien.data.votes import ratings_fingerprint, votes_fingerprint
from mien.training.heads.head import Head, Output
from mien.training.heads.label import LabelHead
from mien.training.heads.ratings import AffectHead
from mien.training.heads.votes import VotesHead

HEADS: dict[str, type[Head]] = {
    "label": LabelHead,
    "affect": AffectHead,
    **dict.fromkeys(("votes", "majority", "sampled"), VotesHead),
}
"""Class of an output, by its training target."""


def make_outputs(recipe: Recipe, dataset: Dataset) -> tuple[Output, ...]:
    """Return a recipe's outputs for a data set, the label's first.

    Raises DataError if the data has no targets for an output, such as votes, or unusable ones.
    """
    if not recipe.outputs:
        return (Output("label", "label", 1.0, dataset.classes),)
    answer = answering([output.target for output in recipe.outputs.values()])
    return tuple(
        Output(name, output.target, output.weight, HEADS[output.target].classes_of(dataset), at == answer)
        for at, (name, output) in enumerate(recipe.outputs.items())
    )


def output_facts(recipe: Recipe, outputs: Sequence[Output], dataset: Dataset) -> dict[str, Any]:
    """Return metadata of named outputs for checkpoint and environment, JSON-ready; empty without named outputs."""
    if not recipe.outputs:
        return {}
    facts: dict[str, Any] = {
        "outputs": {output.name: {"classes": list(output.classes), "target": output.target} for output in outputs}
    }
    return facts | target_fingerprints(recipe, dataset)


def target_fingerprints(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """Return fingerprints of the votes and ratings that outputs are trained on; empty for labels alone."""
    found = {"votes_fingerprint": votes_fingerprint(dataset)} if recipe.learns_votes else {}
    if any(output.target == "affect" for output in recipe.outputs.values()):
        found["ratings_fingerprint"] = ratings_fingerprint(dataset, NAMES)
    return found
