"""Choose the rule of the answer of shipped models, and write it into their files.

    python release/choose_answer.py fast default best --data fer2013.parquet --photos FOLDER

The rule (mien.base.heads.votes.AnswerRule) has the prior of the train split's votes, how much of it is taken out, a
weight for "sad", a probability below which the answer is "unsure", and a margin: expressions less than this behind the
first are told as alternatives. All but the prior are chosen on two sets together: the validation split's FER+ majority,
and photographs (FOLDER/readings.csv: path, label, reading1, reading2), the largest face of each, where two blind
readings by a machine that looks at pictures agree; their labels are one person's word, and only 70% of them hold then.

A rule may leave 3 to 6% of the photographs unsure, and cost at most 3 points of accuracy by the majority. Its margin is
the least by which 85% of its firm answers on the photographs are right, where a firm answer is neither unsure nor tied;
at least 70% must be firm. Where no margin reaches both, it is the one with 70% firm that has the most of them right.
The rule with the highest mean of four metrics wins: accuracy and mean recall on both sets, where an unsure answer is a
wrong one. Rules whose firm answers reach the 85% go before others. "contempt" always has half its weight: it is
answered only where it is twice as likely as the next. Both forms of a model get the rule of its fp16 form. Each face is
classified as it is and mirrored, as those of photographs are. ``--keep`` chooses and writes nothing: it measures the
rule that ships. Calibration errors are of the probability beside the answer, then the same after a temperature that
is fitted on other folds of the set.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from model_card import PAGE, facts_of_files, page

from mien.api.evaluate import evaluate
from mien.base.files import write_bytes, write_text
from mien.base.heads.label import decide
from mien.base.heads.votes import AnswerRule, VotesHead
from mien.base.labels import NOT_A_FACE_CLASS
from mien.base.model_file import attach_manifest, read_manifest
from mien.base.run_folder import find_run
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.calibration import cross_fit_temperature
from mien.evaluation.metrics import calibration_error, majority
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor

OUTPUT = "perceived"
STRENGTHS = np.arange(0, 0.61, 0.05)
SAD_WEIGHTS = np.arange(1, 2.01, 0.1)
THRESHOLDS = np.arange(0.2, 0.56, 0.01)
MARGINS = np.arange(0, 0.41, 0.01)
UNSURE = (0.03, 0.06)
"""Share of the photographs that may be unsure."""

FIRM, FIRM_RIGHT = 0.7, 0.85
"""Share of the photographs that must get a firm answer, and share of the firm answers that should be right."""

CONTEMPT_WEIGHT = 0.5

MAX_LOSS = 0.03
"""Percentage points of the accuracy by the majority vote, with no answer unsure."""

RECALLED = {
    "photographs": ("neutral", "happy", "surprise", "sad", "angry"),
    "majority": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
}
"""Over which classes recall is averaged: of the photographs' other two there are few."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One set of faces: shares of people float64 (N, V) by a model, and what each face shows, str (N,)."""

    shares: Floats
    truth: npt.NDArray[np.str_]


class Answers:
    """The most probable answers for a set, by a rule's strength and weights; its limits are given later."""

    def __init__(self, rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> None:
        head = VotesHead(OUTPUT, "logits", classes, 1.0, "votes").under(rule)
        probabilities = head.shown(of.shares)
        answers = np.array(head.classes)[decide(probabilities, head.classes).top]
        self._right, self._is_face = answers == of.truth, answers != NOT_A_FACE_CLASS
        self._of_class = [of.truth == name for name in recalled if (of.truth == name).any()]
        others, self._highest = probabilities.copy(), probabilities.max(axis=1)
        others[:, [name == NOT_A_FACE_CLASS for name in head.classes]] = 0
        others[np.arange(len(others)), probabilities.argmax(axis=1)] = 0
        self._lead = self._highest - others.max(axis=1)

    def metrics(self, unsure_below: float, margin: float) -> dict[str, float]:
        """Accuracy, mean recall, the shares of unsure and of firm answers, and how many firm ones are right."""
        unsure = self._is_face & (self._highest < unsure_below)
        right, firm = self._right & ~unsure, ~unsure & (~self._is_face | (self._lead >= margin))
        return {
            "accuracy": float(right.mean()),
            "recall": float(np.mean([right[rows].mean() for rows in self._of_class])),
            "unsure": float(unsure.mean()),
            "firm": float(firm.mean()),
            "firm right": float(right[firm].mean()) if firm.any() else 0.0,
        }

    def best_margin(self, unsure_below: float) -> tuple[float, float]:
        """How many firm answers are right at the margin that a rule gets, and this margin."""
        best = (-1.0, 0.0)
        for margin in MARGINS.round(2).tolist():
            metrics = self.metrics(unsure_below, margin)
            if metrics["firm"] < FIRM:
                break
            best = max(best, (metrics["firm right"], margin), key=lambda pair: pair[0])
            if best[0] >= FIRM_RIGHT:
                break
        return best


def metrics_of(rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> dict[str, float]:
    """As :meth:`Answers.metrics`, at the rule's own limits."""
    return Answers(rule, classes, of, recalled).metrics(rule.unsure_below, rule.margin)


def calibration_of(rule: AnswerRule, classes: tuple[str, ...], of: Measured) -> dict[str, float]:
    """The calibration error of the probability beside the answer, as it is and after a temperature."""
    head = VotesHead(OUTPUT, "logits", classes, 1.0, "votes").under(rule)
    probabilities, labels = head.shown(of.shares), np.array([head.classes.index(each) for each in of.truth])
    fitted, _ = cross_fit_temperature(labels, probabilities)
    return {
        "calibration error": calibration_error(labels, probabilities),
        "cross-fitted": calibration_error(labels, fitted),
    }


def choose(prior: Floats, classes: tuple[str, ...], majority_set: Measured, photographs: Measured) -> AnswerRule:
    """The best rule of the grid. Raises ValueError where none leaves so many photographs unsure."""
    base = AnswerRule(output=OUTPUT, prior=tuple(np.round(prior, 5).tolist()), strength=0.0, unsure_below=0.0)
    least = metrics_of(base, classes, majority_set, RECALLED["majority"])["accuracy"] - MAX_LOSS
    found: list[tuple[bool, float, AnswerRule]] = []
    for strength, sad in itertools.product(STRENGTHS.round(2).tolist(), SAD_WEIGHTS.round(2).tolist()):
        weights = {name: at for name, at in (("sad", sad), ("contempt", CONTEMPT_WEIGHT)) if name in classes}
        rule = base.model_copy(update={"strength": strength, "weights": weights})
        on_majority = Answers(rule, classes, majority_set, RECALLED["majority"])
        if on_majority.metrics(0.0, 0.0)["accuracy"] < least:
            continue
        on_photographs = Answers(rule, classes, photographs, RECALLED["photographs"])
        for threshold in THRESHOLDS.round(2).tolist():
            both = (on_photographs.metrics(threshold, 0.0), on_majority.metrics(threshold, 0.0))
            if UNSURE[0] <= both[0]["unsure"] <= UNSURE[1]:
                firm_right, margin = on_photographs.best_margin(threshold)
                total = sum(each["accuracy"] + each["recall"] for each in both)
                limits = {"unsure_below": threshold, "margin": margin}
                found.append((firm_right >= FIRM_RIGHT, total, rule.model_copy(update=limits)))
    if not found:
        raise ValueError("no rule of the grid leaves so many photographs unsure")
    return max(found, key=lambda candidate: candidate[:2])[2]


def photographs_in(folder: Path, predictor: Predictor) -> Measured:
    """The largest face of each photograph that two readings agree on; photographs without a face are left out."""
    with (folder / "readings.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["reading1"] == row["reading2"]]
    found = [(predictor.predict(folder / row["path"]), row["reading1"]) for row in rows]
    shares = [faces[0].probability_vector for faces, _ in found if faces]
    return Measured(np.stack(shares), np.array([label for faces, label in found if faces]))


def majority_of(predictor: Predictor, data: Dataset) -> Measured:
    """The validation images that FER+'s protocol counts."""
    validation = data.of_split("validation")
    found = majority(check_votes(validation), validation.vote_classes)
    counted = np.flatnonzero(found >= 0)
    images = np.asarray(validation.images)[counted]
    truth = np.array(validation.vote_classes)[found[counted]]
    return Measured(FaceReader(predictor).classify_found(images)[:, : len(predictor.classes)], truth)


def write(rule: AnswerRule, name: str, data: Path) -> None:
    """Put a rule into both forms of a shipped model."""
    folder = find_run(name)
    for file in (folder.model, folder.model_int8):
        changed = read_manifest(file).model_copy(update={"answer": rule})
        write_bytes(file, attach_manifest(file.read_bytes(), changed))
    record(name, data)


def record(name: str, data: Path) -> None:
    """Write what changed with a shipped model's answer into its card and its metrics."""
    folder = find_run(name)
    card_file = folder.path / "card.json"
    card = json.loads(card_file.read_text(encoding="utf-8")) | facts_of_files(folder)
    write_text(card_file, json.dumps(card, indent=1) + "\n")
    metrics_file = folder.path / "metrics.json"
    metrics = json.loads(metrics_file.read_text(encoding="utf-8"))
    metrics["answer"] = evaluate(name, data, split="validation").evaluation.to_dict()["answer"]
    write_text(metrics_file, json.dumps(metrics, indent=2) + "\n")


def main() -> None:
    """Read the command line, choose and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--keep", action="store_true")
    wanted = parser.parse_args()
    data = load_dataset(wanted.data, size_px=48)
    train = data.of_split("train")
    prior = vote_probabilities(check_votes(train)).mean(axis=0)
    for name in wanted.names:
        predictor = Predictor(find_run(name).model).with_output(OUTPUT)
        # The model's order of classes, and the data's, may differ.
        own = prior[[train.vote_classes.index(each) for each in predictor.classes]]
        sets = {"majority": majority_of(predictor, data), "photographs": photographs_in(wanted.photos, predictor)}
        shipped = read_manifest(find_run(name).model).answer if wanted.keep else None
        rule = shipped or choose(own, predictor.classes, sets["majority"], sets["photographs"])
        if not wanted.keep:
            write(rule, name, wanted.data)
        for kind, of in sets.items():
            found = metrics_of(rule, predictor.classes, of, RECALLED[kind])
            found |= calibration_of(rule, predictor.classes, of)
            shown = ", ".join(f"{key} {value:.1%}" for key, value in found.items())
            sys.stdout.write(f"{name}, {kind} ({len(of.truth):,}): {shown}\n")
        sys.stdout.write(f"{name}: {rule.model_dump(exclude={'output', 'prior'})}\n")
    if not wanted.keep:
        write_text(PAGE, page())


if __name__ == "__main__":
    main()
