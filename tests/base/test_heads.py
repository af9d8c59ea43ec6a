"""What an output says: the rule of the answer, on numbers that the page's test has too."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.base.heads import AnswerRule, VotesHead, decide

FILE = Path(__file__).parents[2] / "web" / "tests" / "heads.json"


@pytest.fixture(scope="module")
def vectors():
    if not FILE.is_file():
        pytest.skip("web/tests is not here")
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_votes_head_answers_by_its_rule(vectors):
    """Oracle: by hand. A doubtful angry face is no neutral one: FER2013 has ten neutral faces for an angry one."""
    source = VotesHead("perceived", "logits_perceived", tuple(vectors["classes"]), 1.0, "votes")
    answer = source.under(AnswerRule.model_validate(vectors["rule"]))
    assert answer.classes == tuple(name for name in source.classes if name != "unknown")
    (found,) = answer.values(np.log(np.array([vectors["shares"]], np.float32)))
    assert np.allclose(found, vectors["shown"], atol=1e-5)
    assert (answer.unsure_below, answer.margin) == (0.4, 0.15)
    for head, row in ((source, np.array(vectors["shares"])), (answer, found)):
        assert np.allclose(head.derived(row[np.newaxis])[0], vectors["affect"], atol=1e-4)
    plain = AnswerRule.model_validate(vectors["rule"] | {"strength": 0.0, "weights": {}})
    (unchanged,) = source.under(plain).shown(np.array([vectors["shares"]]))
    assert np.allclose(unchanged[:8], np.array(vectors["shares"][:8]) / 0.92, atol=1e-9)
    # Oracle: by hand. All rows at once, and each by itself.
    classes, cases = vectors["classes"], vectors["decisions"]
    rows = np.array([[case["probabilities"].get(name, 0.0) for name in classes] for case in cases])
    together = decide(rows, classes)
    for number, (row, case) in enumerate(zip(rows, cases, strict=True)):
        (top,), (likely,), (tied,) = decide(row[np.newaxis], classes)
        expected = (case["top"], case["likely"], set(case["tied"]))
        assert (classes[top], likely, {classes[at] for at in np.flatnonzero(tied)}) == expected
        assert (together.top[number], together.likely[number]) == (top, likely)


@pytest.mark.parametrize("change", [{"weights": {"sad": 0}}, {"weights": {"sad": 101}}, {"margin": 1}, {"margin": -1}])
def test_manifest_rejects_an_impossible_rule(vectors, change):
    with pytest.raises(ValueError, match="1 validation error"):
        AnswerRule.model_validate(vectors["rule"] | change)
