"""Teachers: trained models are asked about the train split once; students learn from the files of their answers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import DataError, RunError
from mien.evaluation.scores import read_scores, write_scores
from mien.experiments.ensemble import Member, score_together
from mien.inference.locate import find_run, find_run_of_model, find_trained, is_shipped
from mien.inference.views import views_in_words


@dataclass(frozen=True)
class Answers:
    """A file of soft labels: whose, over how many views, of how many faces, and how often the label was top."""

    file: str
    models: tuple[str, ...]
    views: int
    faces: int
    bytes: int
    train_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        return (
            f"{self.file}: {self.faces:,} faces in {self.views} view(s) by {', '.join(self.models)}, "
            f"{self.bytes / 1e3:,.0f} kB; read as labelled: {self.train_accuracy:.1%} of these train faces"
        )


def place_of_answers(model: str, out: Path | None) -> Path:
    """Where the answers of one model go: its own run folder, where no file is named.

    Raises:
        RunError: it is in no run folder of the user's, or ``out`` is no name of a scores file.
    """
    if out is not None:
        if out.suffix != ".npz" or out.is_dir():
            raise RunError(f"--out must name a .npz file; found {out}.")
        return out
    run = find_run_of_model(model)
    if run is None or is_shipped(model):
        raise RunError(f"{model} is in no run folder of yours to keep its answers in; name a file with --out.")
    return run.scores("train")


def check_same_question(file: Path, member: Member, views: int) -> None:
    """Refuse to replace a run's answers by those to another question, from which students may have begun.

    Raises:
        RunError: the file is there, and of other data or views.
        DataError: it is there, and no scores file.
    """
    if not file.is_file():
        return
    former, faces = read_scores(file), member[1]
    if (former.note, former.data_fingerprint) != (views_in_words(views), faces.fingerprint_for_scores("train")):
        raise RunError(f"{file} is of other data or other views. Remove it, or name another file with --out.")


def write_answers(file: Path, members: Sequence[Member], views: int) -> Answers:
    """Ask one or more teachers about each face of the train split, and write the mean of their answers.

    They are the networks' own probabilities, at temperature 1: a stored temperature was fitted on validation, whose
    labels have no part in training a student.

    Args:
        file: where to; whole or not at all.
        members: the teachers, each with the data read at its size.
        views: how often each face is shown.

    Raises:
        DataError: as :func:`mien.experiments.ensemble.score_together`.
        RunError: the file system refused.
    """
    scores = score_together(members, "train", views, temperature=1.0)
    write_scores(file, scores, np.float16)
    right = float((scores.probabilities.argmax(axis=1) == scores.labels).mean())
    names = tuple(classifier.manifest.full_name for classifier, _ in members)
    return Answers(str(file), names, views, len(scores), file.stat().st_size, right)


def find_teachers(names: Sequence[str], live: bool) -> list[Path]:
    """The files of soft labels, or with ``live`` the run folders, that a user means.

    Raises:
        DataError: no such file; a run that was not asked yet; a file where a run is wanted.
        RunError: no such run.
    """
    found = []
    for name in names:
        if name.endswith(".npz"):
            if live:
                raise DataError(f"distill.live asks networks; {name} is a file of answers. Name the run itself.")
            if not Path(name).is_file():
                made = shlex.join(["mien", "teach", "RUN", "--data", "PATH", "--out", name])
                raise DataError(f"There is no file {name}. Make it with: {made} (--recipe: about whole epochs)")
            found.append(Path(name))
            continue
        run = find_trained(name) if live else find_run(name)
        run.read_recipe()
        if not live and not run.scores("train").is_file():
            asked, then = (" --out FILE.npz", "; then --teachers FILE.npz") if is_shipped(name) else ("", "")
            raise DataError(
                f"{name} has no soft labels yet. Make them with: mien teach {name} --data PATH{asked}{then}"
            )
        found.append(run.path if live else run.scores("train"))
    return found
