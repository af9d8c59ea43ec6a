"""Choose the rule of the answer of shipped models, and write it into their files.

    python release/choose_answer.py fast default best --data fer2013.parquet --photos FOLDER

The rule (mien.base.model_file.AnswerRule) has the prior of the train split's votes, how much of it is taken out, and a
probability below which the answer is "unsure". The last two are chosen on two sets together: the validation split's
FER+ majority, and photographs (FOLDER/labels.csv: path,label), the largest face of each. Of all pairs that leave 4 to
10% of the photographs unsure, and cost at most 1.2 points of accuracy by the majority, the one with the highest mean
of four metrics wins: accuracy and mean recall on both, where an unsure answer is a wrong one. Both forms of a model
get the rule of its fp16 form. Each face is classified as it is and mirrored, as those of photographs are.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from model_card import PAGE, facts_of_files, page

from mien.base.files import write_text
from mien.base.model_file import AnswerRule, ModelOutput, answer_output, read_manifest, replace_manifest
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.ferplus import majority
from mien.inference.face_reader import FaceReader
from mien.inference.find_model import find_run
from mien.inference.predictor import Predictor

OUTPUT = "perceived"
STRENGTHS = np.arange(0, 0.61, 0.05)
THRESHOLDS = np.arange(0.2, 0.56, 0.01)
UNSURE = (0.04, 0.10)
"""Share of the photographs that may be unsure."""

LARGEST_LOSS = 0.012
"""Of accuracy by the majority, nothing being unsure."""

RECALLED = {
    "photographs": ("neutral", "happy", "surprise", "sad", "angry"),
    "majority": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
}
"""Over which classes recall is averaged: of the photographs' other two, many are doubtful or there are few."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One set of faces: shares of people float64 (N, V) by a model, and what each face shows, str (N,)."""

    shares: Floats
    truth: npt.NDArray[np.str_]


def metrics_of(rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, mean recall and the share of unsure answers."""
    output = answer_output(rule, ModelOutput(OUTPUT, "logits", classes, 1.0, "votes"))
    probabilities = output.shown(of.shares)
    answers = np.array(output.classes)[probabilities.argmax(axis=1)]
    unsure = (probabilities.max(axis=1) < rule.unsure_below) & (answers != "not-a-face")
    right = (answers == of.truth) & ~unsure
    recalls = [right[of.truth == name].mean() for name in recalled if (of.truth == name).any()]
    return {"accuracy": float(right.mean()), "recall": float(np.mean(recalls)), "unsure": float(unsure.mean())}


def choose(prior: Floats, classes: tuple[str, ...], majority_set: Measured, photographs: Measured) -> AnswerRule:
    """The best pair of the grid. Raises ValueError where none leaves so many photographs unsure."""

    def rule_of(strength: float, threshold: float) -> AnswerRule:
        rounded = tuple(np.round(prior, 5).tolist())
        strength, threshold = round(float(strength), 2), round(float(threshold), 2)
        return AnswerRule(output=OUTPUT, prior=rounded, strength=strength, unsure_below=threshold)

    def on_majority(rule: AnswerRule) -> dict[str, float]:
        return metrics_of(rule, classes, majority_set, RECALLED["majority"])

    least = on_majority(rule_of(0.0, 0.0))["accuracy"] - LARGEST_LOSS
    found: list[tuple[float, AnswerRule]] = []
    for strength in STRENGTHS:
        if on_majority(rule_of(strength, 0.0))["accuracy"] < least:
            continue
        for threshold in THRESHOLDS:
            rule = rule_of(strength, threshold)
            on_photographs = metrics_of(rule, classes, photographs, RECALLED["photographs"])
            if UNSURE[0] <= on_photographs["unsure"] <= UNSURE[1]:
                both = (on_photographs, on_majority(rule))
                found.append((sum(each["accuracy"] + each["recall"] for each in both), rule))
    if not found:
        raise ValueError("no rule of the grid leaves so many photographs unsure")
    return max(found, key=lambda pair: pair[0])[1]


def photographs_in(folder: Path, predictor: Predictor) -> Measured:
    """The largest face of each photograph; photographs without a face are left out."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [(predictor.predict(folder / row["path"]), row["label"]) for row in rows]
    shares = [faces[0].probability_vector for faces, _ in found if faces]
    return Measured(np.stack(shares), np.array([label for faces, label in found if faces]))


def majority_of(predictor: Predictor, data: Dataset) -> Measured:
    """The validation images that FER+'s protocol counts."""
    validation = data.of_split("validation")
    found = majority(check_votes(validation), validation.vote_classes)
    counted = np.flatnonzero(found >= 0)
    images = np.asarray(validation.images)[counted]
    truth = np.array(validation.vote_classes)[found[counted]]
    return Measured(FaceReader(predictor).classify_found(images), truth)


def write(rule: AnswerRule, name: str) -> None:
    """Put a rule into both forms of a shipped model, and what changes by it into its card."""
    folder = find_run(name)
    card_file = folder.path / "card.json"
    for file in (folder.model, folder.model_int8):
        replace_manifest(file, read_manifest(file).model_copy(update={"answer": rule}))
    card = json.loads(card_file.read_text(encoding="utf-8")) | facts_of_files(folder)
    write_text(card_file, json.dumps(card, indent=1) + "\n")


def main() -> None:
    """Read the command line, choose and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    wanted = parser.parse_args()
    data = load_dataset(wanted.data, size_px=48)
    train = data.of_split("train")
    prior = vote_probabilities(check_votes(train)).mean(axis=0)
    for name in wanted.names:
        predictor = Predictor(find_run(name).model).with_output(OUTPUT)
        # The model's order of classes, and the data's, may differ.
        own = prior[[train.vote_classes.index(each) for each in predictor.classes]]
        sets = {"majority": majority_of(predictor, data), "photographs": photographs_in(wanted.photos, predictor)}
        rule = choose(own, predictor.classes, sets["majority"], sets["photographs"])
        write(rule, name)
        for kind, of in sets.items():
            found = metrics_of(rule, predictor.classes, of, RECALLED[kind])
            shown = ", ".join(f"{key} {value:.1%}" for key, value in found.items())
            sys.stdout.write(f"{name}, {kind} ({len(of.truth):,}): {shown}\n")
        sys.stdout.write(f"{name}: strength {rule.strength:g}, unsure below {rule.unsure_below:g}\n")
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
