"""Effect of a person's own rest: log-odds of their neutral photographs subtracted from their other ones.

    git clone https://github.com/muxspace/facial_expressions
    python benchmarks/neutral.py facial_expressions KEPT_ASIDE

People with two neutral photographs and another one; KEPT_ASIDE lists SHA-256 of files to leave out. For each person K
neutral photographs are the rest, drawn five times, and all others are the test. The rest's log-odds beside those of an
average rest are subtracted, shrunk by K / (K + 1): of all classes, or only of negative ones that are raised.
"""

import csv
import hashlib
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import mien

NAMES = {"happiness": "happy", "sadness": "sad", "anger": "angry"}
NEGATIVE = ("sad", "angry", "fear", "disgust", "contempt")
OTHERS = ("happy", "surprise", *NEGATIVE)
MOST = 10
"""Photographs a person."""


def classify(folder: Path, left_out: set[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each person's labels (N,) and log-probabilities of the expressions (N, 8)."""
    photographs = defaultdict(list)
    for row in csv.DictReader((folder / "data" / "legend.csv").open()):
        label = row["emotion"].lower()
        photographs[re.sub(r"_\d+\.\w+$", "", row["image"])].append((row["image"], NAMES.get(label, label)))
    model, people = mien.load("default"), {}
    for person, files in sorted(photographs.items()):
        neutral = sum(label == "neutral" for _, label in files)
        if neutral < 2 or neutral == len(files) or not re.match(r"[A-Z].*_", person):
            continue
        labels, logs = [], []
        for name, label in files[:MOST]:
            content = (folder / "images" / name).read_bytes()
            faces = [] if hashlib.sha256(content).hexdigest() in left_out else model.predict(content)
            if faces:
                labels.append(label)
                logs.append([np.log(max(faces[0].probabilities[each], 1e-6)) for each in ("neutral", *OTHERS)])
        if labels:
            people[person] = np.array(labels), np.array(logs)
    return people


def main() -> None:
    """Print what changes for K = 1 and 3, in both forms."""
    people = classify(Path(sys.argv[1]), set(Path(sys.argv[2]).read_text().split()))
    names = np.array(("neutral", *OTHERS))
    average = np.concatenate([logs[labels == "neutral"] for labels, logs in people.values()]).mean(axis=0)
    print(f"{len(people)} people, {sum(len(labels) for labels, _ in people.values()):,} photographs")
    for count in (1, 3):
        for only_negative in (False, True):
            true, before, after = [], [], []
            for seed in range(5):
                random = np.random.default_rng(seed)
                for labels, logs in people.values():
                    neutral = np.flatnonzero(labels == "neutral")
                    if len(neutral) <= count:
                        continue
                    rest = random.permutation(neutral)[:count]
                    raised = logs[rest].mean(axis=0) - average
                    raised -= raised[0]
                    if only_negative:
                        raised = np.where(np.isin(names, NEGATIVE), np.maximum(raised, 0), 0)
                    test = np.delete(np.arange(len(labels)), rest)
                    true.append(labels[test])
                    before.append(names[logs[test].argmax(axis=1)])
                    after.append(names[(logs[test] - raised * count / (count + 1)).argmax(axis=1)])
            label, old, new = map(np.concatenate, (true, before, after))
            at_rest, negative = label == "neutral", np.isin(label, ("sad", "angry"))
            print(f"K = {count}, {'raised negative classes' if only_negative else 'all classes'}:", end=" ")
            print(
                *(f"negative at rest {np.isin(each[at_rest], NEGATIVE).mean():.1%}" for each in (old, new)),
                sep=" -> ",
                end="; ",
            )
            for what, chosen in (
                ("happy", label == "happy"),
                ("surprise", label == "surprise"),
                ("sad and angry", negative),
            ):
                right = [np.mean(each[chosen] == label[chosen]) for each in (old, new)]
                print(f"{what} ({chosen.sum() // 5}) {right[0]:.1%} -> {right[1]:.1%}", end="; ")
            print()


if __name__ == "__main__":
    main()
