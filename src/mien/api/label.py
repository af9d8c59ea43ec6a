"""``mien.merge_votes``: merge several people's votes on the same faces into a data set."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import DataError, Notice
from mien.base.files import expand_home, plain
from mien.base.images import image_files
from mien.base.labels import NO_EXPRESSION
from mien.data.ballots import ASK_AGAIN, MERGED, Vote, ballot_file, ballot_files, check_answers, read_ballot, write_rows
from mien.data.csv_file import CsvFile
from mien.data.votes import VOTE_PREFIX
from mien.evaluation.metrics import proportion
from mien.evaluation.results import Estimate, json_ready
from mien.evaluation.vote_metrics import krippendorff_alpha, pair_agreement, vote_ceiling
from mien.inference.predictor import Predictor
from mien.page.wording import counted, share_text

CLEAR = 0.5
"""Fraction of people above which an answer decides the label."""

MIN_EQUAL = 3
"""Fewer equal votes of two people are no sign of a copied file."""


@dataclass(frozen=True)
class MergedVotes:
    """The merged votes of several people on the same images.

    Attributes:
        people: names of the people, from the file names.
        images: number of images with a vote.
        labelled: number of images for which more than half of the people gave the same expression.
        within: for each person who saw faces twice, the fraction of these faces with the same answer.
        between: fraction of pairs of people with the same answer, mean over images; None without shared images.
        alpha: Krippendorff's alpha; NaN without shared images.
        ceiling: how often the best possible answers would be the majority of as many people, on images with a majority
            of five or more votes; None without such images.
        ask_again: images without a clear answer, the most disputed first.
        table: path of the written file: path, label, and a column of votes for each class.
        without_expression: number of images that most people gave ``unknown`` or ``not-a-face``; no file has them.
        notices: files that are no ballots, and ballots with the same votes.
    """

    people: Sequence[str]
    images: int
    labelled: int
    within: Mapping[str, Estimate]
    between: Estimate | None
    alpha: float
    ceiling: Estimate | None
    ask_again: Sequence[str] = field(repr=False)
    table: Path
    without_expression: int
    notices: Sequence[Notice] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, JSON-ready."""
        return {**json_ready(vars(self)), "table": str(self.table)}

    def __str__(self) -> str:
        items = self.within.items()
        lines = [
            f"{self.table}: {counted(self.labelled, 'image')} with a clear answer, of {self.images:,} with votes by "
            f"{', '.join(self.people)}",
            *(f"{name} repeats the first answer on {share_text(share)} of repeated images" for name, share in items),
        ]
        if self.between is not None:
            lines.append(f"two people agree on {share_text(self.between)} (Krippendorff's alpha {self.alpha:.2f})")
        if self.ceiling is not None:
            words = f"the best possible answers would be the majority's for {share_text(self.ceiling)} of the images"
            lines.append(f"{words} with five votes or more: about the ceiling of any model")
        if self.ask_again:
            again = self.table.with_name(f"{ASK_AGAIN}.csv")
            lines.append(f"{counted(len(self.ask_again), 'image')} without a clear answer: {again}")
        if self.without_expression:
            lines.append(f"{counted(self.without_expression, 'image')} without an expression, so left out")
        lines += [each.line for each in self.notices]
        return "\n".join(lines)


def relative_images(folder: str | os.PathLike[str]) -> list[str]:
    """List the images below a folder, relative to it, with ``/``. Raises :class:`DataError` if there are none."""
    names = [file.relative_to(folder).as_posix() for file in image_files(folder)]
    for name in names:
        if plain(name) != name or len(name.splitlines()) != 1 or name[0] == " " or "\\" in name:
            raise DataError(f"{folder} has a file whose name no table can hold: {name!a}. Rename it.", code="ballot")
    return names


def doubtful_first(
    images: Sequence[str], folder: Path, model: Predictor, on_error: Callable[[str, DataError], None]
) -> list[str]:
    """Sort images by the model's doubt, highest entropy of the probabilities first; unreadable ones are left out."""
    files, certainty = {str(folder / name): name for name in images}, dict[str, float]()
    for photo in model.stream(list(files), crops=True, on_error=on_error):
        shares = np.maximum(photo.predictions[0].probability_vector, 1e-12)
        certainty[files[photo.source]] = float((shares * np.log(shares)).sum())
    if not certainty:
        raise DataError(f"{folder} has no image that can be read.", code="no-images")
    return sorted(certainty, key=lambda name: certainty[name])


def merge_votes(
    votes: str | os.PathLike[str], faces: str | os.PathLike[str], answers: Sequence[str] | None = None
) -> MergedVotes:
    """Merge the ballots written by ``mien label``, one per person, into ``labels.csv`` beside them.

    ``mien train`` and ``mien audit`` can read this file with columns path, label and ``votes_*``. It contains an image
    if more than half of the people gave it the same expression. For a repeated face, the first answer counts.

    Args:
        votes: folder of the ballots, each named after a person.
        faces: folder of the images.
        answers: answers that people could give, if not those of FER+.

    Raises:
        DataError: no ballot, a file that is none or not named after a person, or votes on images that are not there.
    """
    folder, faces, classes = expand_home(votes), expand_home(faces), check_answers(answers)
    images = relative_images(faces)
    files, others = ballot_files(folder)
    read = {file.stem: read_ballot(ballot_file(folder, file.stem), images, classes) for file in files}
    ballots = {person: ballot for person, ballot in read.items() if ballot}
    if not ballots:
        raise DataError(f"{folder} contains no votes. Vote with: mien label FACES --name YOU", code="ballot")
    place = {image: at for at, image in enumerate(images)}
    counts, within = np.zeros((len(images), len(classes)), dtype=np.int64), {}
    for person, ballot in ballots.items():
        first = dict(reversed(ballot))
        for image, answer in first.items():
            counts[place[image], classes.index(answer)] += 1
        if repeats := len(ballot) - len(first):
            same = sum(answer == first[image] for image, answer in ballot)
            within[person] = proportion(same - len(first), repeats)
    voted = counts.any(axis=1)
    names, table = np.array(images)[voted].tolist(), counts[voted]
    share = table.max(axis=1) / table.sum(axis=1)
    clear = (share > CLEAR) & np.array([classes[at] not in NO_EXPRESSION for at in table.argmax(axis=1)])
    order = [names[at] for at in np.argsort(share, kind="stable") if share[at] <= CLEAR]
    written = folder / f"{MERGED}.csv"
    try:
        base = Path(os.path.relpath(faces.resolve(), folder.resolve())).as_posix()
    except ValueError:  # two drives of Windows
        base = faces.resolve().as_posix()
    rows = [
        (f"{base}/{name}", classes[int(row.argmax())], *row.tolist())
        for name, row, kept in zip(names, table, clear, strict=True)
        if kept
    ]
    again = folder / f"{ASK_AGAIN}.csv"
    columns = ("path", "label", *(f"{VOTE_PREFIX}{name}" for name in classes))
    for file, own in ((written, columns), (again, ("image",))):
        if file.exists() and CsvFile(file).names != own:
            words = f"{file} is not of an earlier merge. Move it away, or give another folder of votes."
            raise DataError(words, code="file-exists")
    write_rows(written, columns, rows)
    write_rows(again, ("image",), [(name,) for name in order])
    found = vote_ceiling(table, classes)
    ceiling = None if found is None else found.best_answer
    agreement, alpha, rest = pair_agreement(table), krippendorff_alpha(table), len(names) - len(rows) - len(order)
    people, notices = tuple(ballots), tuple(_notices(ballots, others))
    return MergedVotes(people, len(names), len(rows), within, agreement, alpha, ceiling, order, written, rest, notices)


def _notices(ballots: Mapping[str, Sequence[Vote]], others: Sequence[str]) -> Iterator[Notice]:
    """Return notices about copies of ballots, which would count one person twice, and about files that are no CSV."""
    for one, other in combinations(sorted(ballots, key=lambda person: len(ballots[person])), 2):
        shorter, longer = ballots[one], ballots[other]
        # A copy may be of an earlier day, and sorted by a spreadsheet. Repeated faces differ between people.
        if len(shorter) >= MIN_EQUAL and not Counter(shorter) - Counter(longer):
            words = f"{one} and {other} gave the same {len(shorter):,} votes. If one file is a copy, move it away."
            yield Notice(words, code="ballots-equal")
    if others:
        words = f"Files that are no CSV were left out: {len(others):,}, such as {others[0]}."
        yield Notice(words, code="files-skipped")
