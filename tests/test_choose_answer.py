"""release/choose_answer.py: the rule of the answer, chosen on two sets of faces."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.base.heads.votes import AnswerRule
from mien.base.labels import FERPLUS_CLASSES

RELEASE = Path(__file__).parents[1] / "release"


@pytest.fixture
def script(monkeypatch):
    if not RELEASE.is_dir():
        pytest.skip("release/ is not here")
    monkeypatch.syspath_prepend(RELEASE)
    yield importlib.import_module("choose_answer")
    sys.modules.pop("choose_answer")


PRIOR = np.array([0.4, 0.3, 0.1, 0.1, 0.04, 0.01, 0.02, 0.01, 0.015, 0.005])


def drawn(script, truths, seed, prior=PRIOR):
    """Faces whose shares are Bayes's answer under a prior, from evidence for what each shows that is sometimes weak."""
    generator = np.random.default_rng(seed)
    evidence = generator.normal(0, 1, (len(truths), len(prior)))
    evidence[np.arange(len(truths)), truths] += generator.uniform(0.5, 4, len(truths))
    shares = np.exp(evidence) * prior
    return script.Measured(shares / shares.sum(axis=1, keepdims=True), np.array(FERPLUS_CLASSES)[truths])


def test_the_prior_is_taken_out_where_classes_are_equally_common(script):
    """Oracle: Bayes. Of shares under the training's prior, with all classes equally common, all of it is too much."""
    common = np.repeat(np.arange(7), 120)
    of_training = np.random.default_rng(3).choice(7, 800, p=PRIOR[:7] / PRIOR[:7].sum())
    rule = script.choose(PRIOR, FERPLUS_CLASSES, drawn(script, of_training, 1), drawn(script, common, 2))
    assert rule.strength >= 0.2
    photographs = drawn(script, common, 2)
    found = script.metrics_of(rule, FERPLUS_CLASSES, photographs, script.RECALLED["photographs"])
    none = rule.model_copy(update={"strength": 0.0})
    before = script.metrics_of(none, FERPLUS_CLASSES, photographs, script.RECALLED["photographs"])
    assert found["recall"] > before["recall"] + 0.02
    assert script.UNSURE[0] <= found["unsure"] <= script.UNSURE[1]


def test_metrics_count_an_unsure_answer_as_wrong(script):
    """Oracle: by hand, four faces."""
    shares = np.full((4, 10), 0.01)
    for row, (name, share) in enumerate([("happy", 0.91), ("sad", 0.91), ("sad", 0.3), ("angry", 0.91)]):
        shares[row, FERPLUS_CLASSES.index(name)] = share
    shares /= shares.sum(axis=1, keepdims=True)
    shares[2] = 0.1
    rule = AnswerRule(output="perceived", prior=tuple(PRIOR), strength=0.0, unsure_below=0.5)
    truth = np.array(["happy", "happy", "neutral", "angry"])
    found = script.metrics_of(rule, FERPLUS_CLASSES, script.Measured(shares, truth), ("happy", "angry"))
    assert found == {"accuracy": 0.5, "recall": 0.75, "unsure": 0.25, "firm": 0.75, "firm right": pytest.approx(2 / 3)}


def test_no_rule_is_an_error(script):
    """Every face is clear: no threshold of the grid leaves one unsure."""
    sure = drawn(script, np.zeros(50, np.int64), 1, np.eye(10)[0] * 0.91 + 0.009)
    with pytest.raises(ValueError, match="no rule"):
        script.choose(PRIOR, FERPLUS_CLASSES, sure, sure)
