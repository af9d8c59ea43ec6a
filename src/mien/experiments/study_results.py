"""What is kept of a study's finished runs: a folder each, light enough for a repository, without weights or images.

run.json                 the key it is found by, and how the run went
recipe.toml history.csv  as in the run folder
scores_validation.npz    what the model said about each row of validation (float32)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mien.errors import DataError, StudyError
from mien.evaluation.scores import Scores, read_scores, write_scores
from mien.files import write_text
from mien.recipe import Recipe, dump_recipe
from mien.run_folder import RunFolder

RECORD = "run.json"


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Attributes:
        variant: name of the study's row.
        recipe: with its seed and a name that tells the study and the variant.
        data_fingerprint: of the data as it was read.
        parent: the run whose weights it begins with.
    """

    variant: str
    recipe: Recipe
    data_fingerprint: str
    parent: Planned | None = None

    @property
    def key(self) -> str:
        """SHA-256 over recipe (with its seed), data and the parent's key: the same key, the same run."""
        parts = (self.recipe.digest, self.data_fingerprint, self.parent.key if self.parent else "")
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    @property
    def folder_name(self) -> str:
        """A name for people, made unique by the key."""
        return f"{self.recipe.name}-seed{self.recipe.seed}-{self.key[7:15]}"


@dataclass(frozen=True)
class Record:
    """How a run went: the content of ``run.json``.

    Attributes:
        key: of :class:`Planned`.
        variant: under which name it was run first.
        seed: of the recipe.
        recipe_digest: of the recipe.
        data_fingerprint: of the data.
        started_from: key of the run whose weights it began with; ``""`` for none.
        train_faces: how many faces an epoch showed.
        epochs: how many were done.
        best_epoch: the one that is kept and measured, chosen on validation; 0 for a run that failed at once.
        seconds: of training and validation.
        threads: of torch.
        parameters: trainable numbers of the network.
        failed: why training could not go on; ``""`` where it did.
        machine: and versions, for the reader.
    """

    key: str
    variant: str
    seed: int
    recipe_digest: str
    data_fingerprint: str
    started_from: str
    train_faces: int
    epochs: int
    best_epoch: int
    seconds: float
    threads: int
    parameters: int
    failed: str
    machine: dict[str, str]


@dataclass(frozen=True)
class Finished:
    """A finished run where it is kept."""

    folder: Path
    record: Record

    def scores(self) -> Scores:
        """Its scores of validation. Raises :class:`DataError` where the file is damaged."""
        return read_scores(self.folder / "scores_validation.npz")


def read_finished(results: Path) -> dict[str, Finished]:
    """All runs kept in a folder, by their key; none where there is no folder.

    Raises:
        StudyError: a ``run.json`` is damaged.
    """
    found = {}
    for file in sorted(results.glob(f"*/{RECORD}")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            record = Record(**{each.name: content[each.name] for each in fields(Record)})
        except (OSError, ValueError, KeyError, TypeError):
            raise StudyError(f"{file} is damaged. Remove its folder; the study runs it again.") from None
        found[record.key] = Finished(file.parent, record)
    return found


def keep_result(results: Path, folder_name: str, record: Record, run: RunFolder, scores: Scores | None) -> Finished:
    """Keep what matters of a run. The record comes last: it makes the folder a finished run.

    Raises:
        RunError: the file system refused.
    """
    folder = results / folder_name
    recipe = run.read_recipe()
    write_text(folder / "recipe.toml", dump_recipe(recipe))
    history = run.path / "history.csv"
    if history.is_file():
        write_text(folder / "history.csv", history.read_text(encoding="utf-8"))
    if scores is not None:
        write_scores(folder / "scores_validation.npz", scores, np.float32)
    write_text(folder / RECORD, json.dumps(asdict(record), indent=2) + "\n")
    return Finished(folder, record)


def scores_of(finished: Sequence[Finished]) -> list[Scores]:
    """The scores of several runs. Raises :class:`StudyError` where one is damaged or is of other data than it says."""
    many = []
    for each in finished:
        try:
            scores = each.scores()
        except DataError as error:
            raise StudyError(f"{error} Remove the folder {each.folder}; the study runs it again.") from None
        if scores.data_fingerprint != each.record.data_fingerprint:
            raise StudyError(f"The scores in {each.folder} are of other data than {RECORD} says. Remove the folder.")
        many.append(scores)
    return many
