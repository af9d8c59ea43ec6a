import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS, SCHEMES, canonical_class, order_classes, parse_map, parse_scheme
from support import raises


@pytest.mark.parametrize(
    ("found", "name"),
    [("Anger", "angry"), (" happiness ", "happy"), ("3_happy", "happy"), ("06-Neutral", "neutral"),
     ("Contempt", "contempt"), ("Not a Face", "not-a-face"), ("not_a_face", "not-a-face"), ("NF", "not-a-face"),
     ("Bored", "Bored")],
)  # fmt: skip
def test_synonyms(found, name):
    assert canonical_class(found) == name


def test_order_classes_is_kaggles_then_alphabetical():
    assert order_classes({"zeal", "neutral", "angry", "awe"}) == ("angry", "neutral", "awe", "zeal")


def test_map():
    assert parse_map("joy=happy, a=0 = angry") == {"joy": "happy", "a=0": "angry"}


@pytest.mark.parametrize("text", ["joy", "joy=", "=happy", "a=b,a=c", ""])
def test_parse_map_rejects_malformed_text(text):
    with raises(DataError, "map-repeated" if text == "a=b,a=c" else "map-syntax"):
        parse_map(text)


def test_study_bs_binary_scheme_drops_neutral_and_disgust():
    assert SCHEMES["binary"].merge_labels(np.arange(7), EXPRESSIONS).tolist() == [0, -1, 0, 1, 0, 1, -1]


def test_every_scheme_fits_fer2013():
    for name, scheme in SCHEMES.items():
        assert parse_scheme(name) is scheme
        assert set(scheme.mapping(EXPRESSIONS)) - {-1} == set(range(len(scheme.classes)))


def test_parse_scheme_takes_custom_groups():
    scheme = parse_scheme("good=happiness+surprise,bad=sad")
    assert scheme.classes == ("good", "bad")
    assert scheme.groups["good"] == ("happy", "surprise")
    assert parse_scheme("all") is None


@pytest.mark.parametrize(
    ("text", "code", "values"),
    [
        ("sevn", "scheme-unknown", "Did you mean 'seven'"),
        ("good=happy", "too-few-classes", "'good=happy'"),
        ("good=happy,bad=", "scheme-syntax", "'bad='"),
        ("a=happy,a=sad", "scheme-repeated", "'a'"),
        ("a=happy,b=joy", "scheme-repeated", "'happy'"),
    ],
)
def test_parse_scheme_rejects_bad_text(text, code, values):
    with raises(DataError, code, values):
        parse_scheme(text)


def test_scheme_rejects_classes_without_data():
    with raises(DataError, "scheme-class-missing"):
        SCHEMES["seven"].mapping(["angry", "happy"])


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_merged_probabilities_sum_to_one(row):
    merged = SCHEMES["binary"].merge_probabilities(np.array([row]), EXPRESSIONS)
    assert merged.sum() == pytest.approx(1)
    assert (merged >= 0).all()


def test_merging_adds_and_rescales():
    """Oracle: by hand. happy .2 + surprise .2 against angry .1 + fear .1 + sad 0; neutral and disgust leave."""
    row = np.array([[0.1, 0.3, 0.1, 0.2, 0.0, 0.2, 0.1]])
    assert SCHEMES["binary"].merge_probabilities(row, EXPRESSIONS)[0] == pytest.approx([1 / 3, 2 / 3])
