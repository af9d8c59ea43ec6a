"""Fit valence and arousal to the shares of eight expressions, for mien.base.heads.

    git clone https://github.com/kdoodoo/affectnetc25 && python benchmarks/valence.py affectnetc25/AffectNetC25

Each of 1,600 pictures has the expression, valence and arousal that 25 people chose. Least squares without an intercept,
since shares add up to 1; agreement is that of ten folds, and of two random halves of the people.
"""

import sys
from pathlib import Path

import numpy as np

EXPRESSIONS = ("happy", "sad", "surprise", "fear", "disgust", "angry", "contempt", "neutral")
"""In the numbering of the files."""


def ccc(one: np.ndarray, other: np.ndarray) -> float:
    """Concordance correlation, Lin 1989."""
    covariance = np.mean((one - one.mean()) * (other - other.mean()))
    return 2 * covariance / (one.var() + other.var() + (one.mean() - other.mean()) ** 2)


def read(folder: Path, what: str) -> np.ndarray:
    """The answers of 25 people, (1600, 25)."""
    files = [folder / f"{what}_set{number}_C25.csv" for number in (1, 2)]
    return np.concatenate([np.genfromtxt(file, delimiter=",", skip_header=1, usecols=range(2, 27)) for file in files])


def main() -> None:
    """Print the coefficients and the agreement of both."""
    folder, random = Path(sys.argv[1]), np.random.default_rng(0)
    chosen = read(folder, "expression")
    shares = np.stack([(chosen == number).mean(axis=1) for number in range(len(EXPRESSIONS))], axis=1)
    for what in ("valence", "arousal"):
        ratings = read(folder, what)
        mean = ratings.mean(axis=1)
        folds = random.permutation(len(mean)) % 10
        predicted = np.empty_like(mean)
        for fold in range(10):
            weights = np.linalg.lstsq(shares[folds != fold], mean[folds != fold], rcond=None)[0]
            predicted[folds == fold] = shares[folds == fold] @ weights
        weights = np.linalg.lstsq(shares, mean, rcond=None)[0]
        people = random.permutation(25)
        halves = ccc(ratings[:, people[:12]].mean(axis=1), ratings[:, people[12:]].mean(axis=1))
        print(what, {name: round(float(at), 3) for name, at in zip(EXPRESSIONS, weights, strict=True)})
        error = np.sqrt(np.mean((predicted - mean) ** 2))
        print(f"  r {np.corrcoef(predicted, mean)[0, 1]:.3f}, CCC {ccc(predicted, mean):.3f}, RMSE {error:.3f}", end="")
        print(f"; two halves of the people: CCC {halves:.3f}")


if __name__ == "__main__":
    main()
