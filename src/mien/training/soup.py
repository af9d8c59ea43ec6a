"""A soup: the mean of several runs' weights (Wortsman et al., ICML 2022), as a run of its own.

Worth it for runs that began with the same trained weights (``--from``): of networks that began at random it is noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.data.dataset import Dataset
from mien.errors import RunError
from mien.labels import parse_scheme
from mien.models.registry import build_model
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batch_norm import batch_norms, recalibrate_bn
from mien.training.state import file_digest


def digests_of(runs: Sequence[RunFolder]) -> list[str]:
    """SHA-256 of each run's best weights.

    Raises:
        RunError: no finished epoch, or two have the same weights.
    """
    digests = [file_digest(run.best) for run in runs]
    for at, digest in enumerate(digests):
        if digest in digests[:at]:
            same = runs[digests.index(digest)].path, runs[at].path
            raise RunError(f"{same[0]} and {same[1]} have the same weights; give each once.", code="soup-same-weights")
    return digests


def began_apart(runs: Sequence[RunFolder], digests: Sequence[str]) -> bool:
    """Whether runs began with different weights, as far as their files say: then their mean is mostly noise.

    Args:
        runs: with a finished epoch each. One that began with another of them, or a soup of some, began where that did;
            one that began at random is its own beginning.
        digests: of :func:`digests_of`.

    Raises:
        RunError: a file of weights is damaged.
    """
    facts = {own: checkpoint.load(run.best)[1] for run, own in zip(runs, digests, strict=True)}

    def beginning(weights: str) -> str:
        of_these = facts.get(weights, {})
        known = [each for each in of_these.get("soup_of", []) if each in facts]
        before = known[0] if known else of_these.get("started_from")
        return beginning(before) if before else weights

    return len({beginning(own) for own in digests}) > 1


def make_soup(runs: Sequence[RunFolder], faces: Dataset, out: RunFolder, environment: dict[str, Any]) -> None:
    """Average the best weights of runs into a new run folder, which has no history and cannot be resumed.

    The running statistics of batch norms are not averaged but recalculated from the train faces as serving shows them:
    those of the members belong to other weights.

    Args:
        runs: one or more, of the same network, input and classes. Of one alone the weights stay. A run may lack
            outputs of the first one: their rows of the head are the mean of those that have them.
        faces: the data, at their size.
        out: where to; holds recipe, environment and best weights afterwards.
        environment: facts for environment.json.

    Raises:
        RunError: a run without a finished epoch, unlike the first, trained on other data, or named twice; one alone
            without batch norms; ``out`` exists.
        DataError: the data has no train split, or not the classes of the recipe.
    """
    recipe = runs[0].read_recipe()
    loaded = [checkpoint.load(run.best) for run in runs]
    rows, classes = checkpoint.head_rows(loaded[0][1]), tuple(loaded[0][1]["classes"])
    for run, (tensors, facts) in zip(runs, loaded, strict=True):
        other = run.read_recipe()
        same = (other.model, other.input, list(facts["classes"])) == (recipe.model, recipe.input, list(classes))
        fits = set(checkpoint.head_rows(facts)) <= set(rows)
        if not (same and fits) or tensors.keys() != loaded[0][0].keys():
            raise RunError(
                f"{run.path} has another network, input or classes than {runs[0].path}. "
                f"Only runs of one network can be averaged.",
                code="soup-mismatch",
            )
        if not faces.matches_training_data(facts["data_fingerprint"]):
            # What one of them learnt from may be what the mean is then measured on.
            raise RunError(
                f"{run.path} was trained on other data. Give --data that all models were trained on.",
                code="run-other-data",
            )
    digests = digests_of(runs)
    out.check_free()
    network = build_model(recipe.model, len(rows), *recipe.input.seen_as)
    if len(runs) == 1 and not batch_norms(network):
        raise RunError(
            f"{runs[0].path} has no batch norms to recalibrate, and one run has no mean. Give two runs or more.",
            code="no-batch-norm",
        )
    network.load_state_dict(
        _mean([tensors for tensors, _ in loaded], [checkpoint.head_rows(each) for _, each in loaded])
    )
    train_faces = faces.of_split("train").with_scheme(parse_scheme(recipe.classes)).with_classes(classes)
    recalibrate_bn(network, np.asarray(train_faces.images), recipe.input)
    facts = {
        "recipe_digest": recipe.digest,
        **faces.provenance,
        "classes": list(classes),
        **checkpoint.kept_outputs(loaded[0][1]),
        "started_from": None,
        "taught_by": sorted({digest for _, each in loaded for digest in each.get("taught_by", [])}),
        "soup_of": digests,
    }
    out.create(recipe.model_copy(update={"name": f"{recipe.name}-soup"}), {**environment, **facts})
    checkpoint.save(out.best, network.state_dict(), {**facts, "epoch": 0})


def _mean(several: Sequence[dict[str, Tensor]], rows: Sequence[Sequence[tuple[str, str]]]) -> dict[str, Tensor]:
    """The mean of each tensor; whole numbers (batches seen) are the first's.

    Args:
        several: tensors by name, of one network each.
        rows: for each network, output and class of each row of its head. The mean of a row is over the networks that
            have it, in whatever place: one that was fine-tuned with a second output is averaged with the one that it
            began with.
    """
    mean = {}
    for name, first in several[0].items():
        tensors = [each[name] for each in several]
        if not first.is_floating_point():
            mean[name] = first
        elif not name.startswith("head.") or all(own == rows[0] for own in rows):
            mean[name] = torch.stack([each.float() for each in tensors]).mean(0)
        else:
            having = [
                [each[own.index(key)].float() for each, own in zip(tensors, rows, strict=True) if key in own]
                for key in rows[0]
            ]
            mean[name] = torch.stack([torch.stack(each).mean(0) for each in having])
    return mean
