"""Outputs of a network: what each predicts, what teaches it, and where its logits are.

All outputs share one linear head, whose rows are those of the label output and then of the others. Splitting its
logits by output is the only place where they differ, so everything that works on a head works on several outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mien.data.dataset import Dataset
from mien.data.votes import check_votes, vote_probabilities, votes_fingerprint
from mien.recipe import Recipe

DEFAULT_NAME = "label"
"""Name of the only output of a recipe without outputs."""


@dataclass(frozen=True)
class Output:
    """One output.

    Attributes:
        name: from the recipe.
        target: what teaches it: label, votes, majority or sampled; see :class:`mien.recipe.OutputRecipe`.
        weight: of its loss in the sum.
        classes: its class names, in the order of its logits.
    """

    name: str
    target: str
    weight: float
    classes: tuple[str, ...]

    @property
    def learns_votes(self) -> bool:
        """Whether votes teach it, in any form."""
        return self.target != "label"


def make_outputs(recipe: Recipe, faces: Dataset) -> tuple[Output, ...]:
    """The outputs of a recipe for some faces, that of the label first.

    Args:
        recipe: without outputs, it has one from labels.
        faces: under the recipe's label scheme.

    Raises:
        DataError: an output learns from votes, and the faces have none, or unusable ones.
    """
    if not recipe.outputs:
        return (Output(DEFAULT_NAME, "label", 1.0, faces.classes),)
    if recipe.learns_votes:
        check_votes(faces)
    return tuple(
        Output(name, output.target, output.weight, faces.classes if output.target == "label" else faces.vote_classes)
        for name, output in recipe.outputs.items()
    )


def count_logits(outputs: Sequence[Output]) -> int:
    """Number of logits of all outputs together."""
    return sum(len(output.classes) for output in outputs)


def split_logits(logits: Tensor, outputs: Sequence[Output]) -> list[Tensor]:
    """Logits (N, all classes) -> one (N, classes) for each output."""
    return list(torch.split(logits, [len(output.classes) for output in outputs], dim=1))


def output_facts(recipe: Recipe, outputs: Sequence[Output], faces: Dataset) -> dict[str, Any]:
    """What checkpoint and environment record of named outputs, JSON-ready; nothing without them."""
    if not recipe.outputs:
        return {}
    facts: dict[str, Any] = {
        "outputs": {output.name: {"classes": list(output.classes), "target": output.target} for output in outputs}
    }
    if recipe.learns_votes:
        facts["votes_fingerprint"] = votes_fingerprint(faces)
    return facts


def vote_distributions(outputs: Sequence[Output], faces: Dataset) -> npt.NDArray[np.float64] | None:
    """The distribution of each face's votes, float64 (N, V); None where no output learns from votes.

    A face without votes has zeros: without teachers, it teaches nothing to the outputs that learn from votes.
    """
    return vote_probabilities(check_votes(faces)) if any(output.learns_votes for output in outputs) else None


def epoch_targets(
    outputs: Sequence[Output], distributions: npt.NDArray[np.float64] | None, seed: int, epoch: int
) -> list[npt.NDArray[np.float32]]:
    """What the outputs that learn from votes are taught in one epoch.

    Args:
        outputs: all of a network.
        distributions: float64 (N, V), of the votes of each face.
        seed: of the run.
        epoch: from 1; sampled votes differ from epoch to epoch.

    Returns:
        For each output after the first a float32 (N, V) distribution; zeros for a face without votes.
    """
    targets = []
    for output in outputs[1:]:
        assert distributions is not None
        if output.target == "majority":
            found = majority_targets(distributions)
        elif output.target == "sampled":
            found = sampled_targets(distributions, seed, epoch)
        else:
            found = distributions
        targets.append(found.astype(np.float32))
    return targets


def majority_targets(distributions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """All probability on the class with most votes, shared evenly where classes tie. (N, V) -> (N, V)."""
    largest = (distributions == distributions.max(axis=1, keepdims=True)) & (distributions > 0)
    return np.asarray(largest / np.maximum(largest.sum(axis=1, keepdims=True), 1))


def sampled_targets(distributions: npt.NDArray[np.float64], seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """One vote of each row, drawn by its distribution: Barsoum et al. 2016's probabilistic label drawing.

    (N, V) -> (N, V), one 1 in each row that is not all zeros.
    """
    drawn = np.random.default_rng((seed, epoch, 10)).random((len(distributions), 1))
    cumulative = distributions.cumsum(axis=1)
    # Rounding may leave the last sum below 1; the draw is scaled to it.
    chosen = (cumulative <= drawn * cumulative[:, -1:]).sum(axis=1)
    # One class more for rows without votes, whose sums never exceed the draw.
    return np.asarray(np.eye(distributions.shape[1] + 1)[chosen, :-1])


def distribution_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy between target distributions and the softmax of logits, both float32 (N, V); 0 of zeros."""
    return functional.cross_entropy(logits, targets)


def to_tensors(targets: Sequence[npt.NDArray[np.float32]], device: torch.device) -> list[Tensor]:
    """Arrays as tensors on a device."""
    return [torch.from_numpy(each).to(device) for each in targets]
